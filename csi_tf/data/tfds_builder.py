"""procedural_faces as a TFDS dataset; importing this module registers it.

tfds.load("procedural_faces", split="train")
tfds.builder("procedural_faces", config=Config(name="small", train=600, test=60))
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from csi_tf.data import procedural_faces
from csi_tf.data.base import CHUNK


@dataclass(eq=False, kw_only=True)
class Config(tfds.core.BuilderConfig):
    """How many faces and how large; fewer are the first ones of the full splits."""

    size: int = 32
    train: int = procedural_faces.SPLITS["train"][1] - procedural_faces.SPLITS["train"][0]
    test: int = procedural_faces.SPLITS["test"][1] - procedural_faces.SPLITS["test"][0]


class ProceduralFaces(tfds.core.GeneratorBasedBuilder):
    """Drawn faces with the factors they were drawn from."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        Config(name="size32", description="32x32 pixels, as in the paper."),
        Config(name="size64", size=64, description="64x64 pixels."),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Procedural faces: every picture follows from a few known, independent factors, "
                "so that control and disentanglement can be measured exactly."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
                    "factors": dict.fromkeys(procedural_faces.NAMES, np.float32),
                    "attributes": {
                        attribute.name: np.bool_ for attribute in procedural_faces.ATTRIBUTES
                    },
                }
            ),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing to download
        config = self.builder_config
        return {
            "train": self._generate_examples("train", config.train),
            "test": self._generate_examples("test", config.test),
        }

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        attribute_names = [attribute.name for attribute in procedural_faces.ATTRIBUTES]
        for start in range(0, count, CHUNK):
            made = procedural_faces.generate(
                split, self.builder_config.size, start=start, stop=min(start + CHUNK, count)
            )
            rows = zip(made["images"], made["factors"], made["attributes"], strict=True)
            for number, (image, factors, attributes) in enumerate(rows, start):
                yield (
                    number,
                    {
                        "image": image,
                        "factors": dict(zip(procedural_faces.NAMES, factors, strict=True)),
                        "attributes": dict(
                            zip(attribute_names, attributes.astype(bool), strict=True)
                        ),
                    },
                )
