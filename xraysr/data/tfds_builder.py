"""The user's films as a `tensorflow_datasets` data set, one configuration per pair.

Importing this module registers the builder and imports tensorflow-datasets; nothing else in
xraysr imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.data.fit import load_hr
from xraysr.errors import BadImageError, needs
from xraysr.films.finder import Film
from xraysr.films.index import index_films
from xraysr.films.patients import SPLITS
from xraysr.films.walk import Skipped, path_text
from xraysr.lanczos import degrade
from xraysr.pair import PRESETS, Pair

with needs("A data set of tensorflow_datasets", "xraysr[tfds]"):
    import tensorflow_datasets as tfds

FULL = np.iinfo(np.uint16).max


@dataclass(eq=False, kw_only=True)
class PairConfig(tfds.core.BuilderConfig):
    """What to make of the films; `PairConfig.of` names it, so that no two share a folder.

    Args:
        pair: LR and HR size.
        fit: How films become HR size: "crop", "pad" or "stretch".
        resplit: Whether to merge the split folders and split anew by patient.
        allow_shared_patients: Whether to accept a patient in two split folders.
    """

    pair: Pair
    fit: str = "crop"
    resplit: bool = False
    allow_shared_patients: bool = False

    @classmethod
    def of(
        cls,
        pair: Pair | str,
        fit: str = "crop",
        resplit: bool = False,
        allow_shared_patients: bool = False,
    ) -> PairConfig:
        """The configuration of `pair`, named `64x256`, `64x256-pad`, `64x256-pad-resplit`..."""
        pair = Pair.parse(pair)
        parts = [pair.folder, "" if fit == "crop" else fit, "resplit" if resplit else ""]
        parts.append("shared" if allow_shared_patients else "")
        return cls(
            name="-".join(filter(None, parts)),
            description=f"LR {pair.lr} and HR {pair.hr} (height, width), fit: {fit}",
            pair=pair,
            fit=fit,
            resplit=resplit,
            allow_shared_patients=allow_shared_patients,
        )


class Radiographs(tfds.core.GeneratorBasedBuilder):
    """LR and HR radiographs from a folder of films that the user has.

    Both images are uint16 of shape (h, w, 1) over the full range 0 to 65535, whatever the source:
    8-bit films are multiplied by 257, so one type holds every depth exactly and `x / 65535` is
    the grey value in [0, 1]. Files left out are listed in `info.metadata["skipped"]`.

    Example:
        >>> builder = Radiographs(config=PairConfig.of("64:256", resplit=True), data_dir="tfds")
        >>> config = tfds.download.DownloadConfig(manual_dir="films")
        >>> builder.download_and_prepare(download_config=config)
        >>> train = builder.as_dataset(split="train")
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "LR by antialiased Lanczos, split by patient."}
    BUILDER_CONFIGS = [PairConfig.of(pair) for pair in PRESETS]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Nothing is downloaded. Put your films (PNG, JPEG, TIFF or DICOM, in class and split folders
    or flat) under manual_dir, or under manual_dir/chest_xray, the name inside the archive of the
    Kermany data (doi:10.17632/rscbjbr9sj.2).
    """

    def _info(self) -> tfds.core.DatasetInfo:
        pair = self.builder_config.pair
        images = {
            name: tfds.features.Image(shape=(*size, 1), dtype=np.uint16, encoding_format="png")
            for name, size in (("lr", pair.lr), ("hr", pair.hr))
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Radiographs as pairs for super-resolution, split by patient.",
            features=tfds.features.FeaturesDict(
                {**images, "patient": tfds.features.Text(), "label": tfds.features.Text()}
            ),
            supervised_keys=("lr", "hr"),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        config = self.builder_config
        root = Path(str(dl_manager.manual_dir))
        if (root / "chest_xray").is_dir():
            root = root / "chest_xray"
        index = index_films(
            root,
            resplit=config.resplit,
            allow_shared_patients=config.allow_shared_patients,
        )
        self._skipped: list[dict[str, str]] = []
        for skipped in index.skipped:
            self._skip(skipped.path.relative_to(root), skipped.reason)
        return {
            split: self._generate_examples(films, root)
            for split in SPLITS
            if (films := index.of(split))
        }

    def _generate_examples(
        self, films: tuple[Film, ...], root: Path
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        for film in films:
            try:
                hr, bits = load_hr(film.path, config.pair.hr, config.fit)
            except BadImageError as error:
                reason = Skipped.because(film.path, error).reason
                self._skip(film.path.relative_to(root), reason)
                continue
            grey = hr / np.float64((1 << bits) - 1)
            yield (
                film.name,
                {
                    "lr": _full_scale(degrade(grey, config.pair.lr, bits)),
                    "hr": _full_scale(grey),
                    "patient": film.patient,
                    "label": film.label or "",
                },
            )

    def _skip(self, path: Path, reason: str) -> None:
        self._skipped.append({"path": path_text(path), "reason": reason})
        self.info.metadata["skipped"] = self._skipped


def _full_scale(grey: np.ndarray) -> np.ndarray:
    return np.round(grey * FULL).astype(np.uint16)[..., None]
