"""Images: `arrays` in NumPy, `load` as a tf.data.Dataset, `Batches` to train on."""

from csi_tf.data import procedural_faces
from csi_tf.data.base import ImageArrays
from csi_tf.data.errors import DataError, ImageFileError
from csi_tf.data.image_files import center_crop, list_images, read_image, resize_antialiased
from csi_tf.data.npz_files import write as write_npz
from csi_tf.data.pipeline import Batches, epoch_order
from csi_tf.data.sources import arrays, held_out_split, load, splits

__all__ = [
    "Batches",
    "DataError",
    "ImageArrays",
    "ImageFileError",
    "arrays",
    "center_crop",
    "epoch_order",
    "held_out_split",
    "list_images",
    "load",
    "procedural_faces",
    "read_image",
    "resize_antialiased",
    "splits",
    "write_npz",
]
