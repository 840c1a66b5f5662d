"""Inpainting from the command line: files in, files out.

settings.py   what a command is asked
sources.py    the pictures it is given      holes.py    their masks, pasting back
drawn.py      completions of them           sheets.py   grids and maps to look at
output.py     files that tell how they were made
run.py        the four modes                repeat.py   one file again
"""

from csi_tf.commands.settings import Command

__all__ = ["Command"]
