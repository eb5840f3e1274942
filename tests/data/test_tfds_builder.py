"""The tensorflow-datasets builder, on films drawn here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from xraysr.data.fit import load_hr
from xraysr.data.tfds_builder import PairConfig, Radiographs
from xraysr.lanczos import degrade

PAIR = PairConfig.of("8:32")


def draw_films(root: Path) -> None:
    """24 NIH-named films of 24 patients in train, 4 in test; and two files that are no films."""
    for number in range(28):
        split, label = "train" if number < 24 else "test", ("NORMAL", "PNEUMONIA")[number % 2]
        path = root / "chest_xray" / split / label / f"{number:08}_000.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5)).astype(np.uint8))
        Image.fromarray(np.asarray(coarse.resize((40, 40), Image.Resampling.BICUBIC))).save(path)
    (root / "chest_xray" / "train" / "NORMAL" / "notes.txt").write_text("x")
    (root / "chest_xray" / "train" / "NORMAL" / "00000099_000.png").write_text("no film")


class RadiographsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Radiographs
    BUILDER_CONFIG_NAMES_TO_TEST = [PAIR]
    SPLITS = {"train": 22, "val": 2, "test": 4}

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls._folder.name
        draw_films(Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._folder.cleanup()


def build(tmp_path: Path, config: PairConfig) -> Radiographs:
    draw_films(tmp_path / "films")
    builder = Radiographs(config=config, data_dir=tmp_path / "tfds")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "films")
    )
    return builder


def test_pixels_equal_those_made_on_the_fly(tmp_path):
    builder = build(tmp_path, PAIR)
    examples = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert sorted(e["patient"].decode() for e in examples) == [f"{n:08}" for n in range(24, 28)]
    for example in examples:
        label, patient = example["label"].decode(), example["patient"].decode()
        path = tmp_path / "films" / "chest_xray" / "test" / label / f"{patient}_000.png"
        hr, bits = load_hr(path, PAIR.pair.hr)
        assert bits == 8
        np.testing.assert_array_equal(example["hr"][..., 0], hr.astype(np.uint16) * 257)
        lr = np.round(degrade(hr / 255, PAIR.pair.lr, 8) * 255).astype(np.uint16)
        np.testing.assert_array_equal(example["lr"][..., 0], lr * 257)


def test_what_was_skipped_is_told_also_after_reloading(tmp_path):
    build(tmp_path, PAIR)
    again = Radiographs(config=PAIR, data_dir=tmp_path / "tfds")
    skipped = {item["path"]: item["reason"] for item in again.info.metadata["skipped"]}
    assert skipped["train/NORMAL/notes.txt"] == "text, which is not read"
    assert "which is not read" in skipped["train/NORMAL/00000099_000.png"]
    assert len(skipped) == 2


def test_one_configuration_per_preset_and_distinct_names():
    assert [c.name for c in Radiographs.BUILDER_CONFIGS] == ["32x128", "64x256", "128x512"]
    names = [
        PairConfig.of("8:32", fit, resplit, shared).name
        for fit in ("crop", "pad")
        for resplit in (False, True)
        for shared in (False, True)
    ]
    assert len(set(names)) == 8
