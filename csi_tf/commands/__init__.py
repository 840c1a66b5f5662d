"""Inpainting from the command line: files in, files out.

settings.py     what a command is asked
sources.py      the pictures it is given        holes.py      their masks, pasting back
job.py          a command in one directory      drawn.py      completions of them
completions.py  what files come of them         traversal.py  and of --mode=traverse
sheets.py       grids and maps to look at       output.py     files that tell how they were made
run.py          the four modes                  repeat.py     one file again
"""

from csi_tf.commands.settings import Command

__all__ = ["Command"]
