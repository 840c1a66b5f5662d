"""The command line: absl flags, read once into the frozen settings of csi_tf.config."""

from flags.build import UsageError, flagfile_text, help_text, parse

__all__ = ["UsageError", "flagfile_text", "help_text", "parse"]
