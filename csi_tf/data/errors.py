"""What goes wrong with data: always a ValueError whose one sentence names the way out."""


class DataError(ValueError):
    """A dataset, split or array that cannot be used as asked."""


class ImageFileError(DataError):
    """A file that cannot be read as an image."""
