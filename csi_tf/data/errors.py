"""What goes wrong with data: always a ValueError whose one sentence names the way out."""

from csi_tf.errors import RunFailed


class DataError(ValueError):
    """A dataset, split or array that cannot be used as asked."""


class ImageFileError(DataError):
    """A file that cannot be read as an image."""


class DownloadError(DataError, RunFailed):
    """A dataset that could not be fetched, though nothing was wrong with asking for it."""
