"""The comparison as a picture: of the first film that can be read, or of none."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.evaluation.picture import draw_comparison
from xraysr.films.finder import Film
from xraysr.io import Radiograph, write
from xraysr.upscale import load


@pytest.fixture
def films(tmp_path) -> list[Film]:
    """A broken film and two that can be read, 64 x 64."""
    (tmp_path / "broken.png").write_text("not an image")
    rows = np.sin(np.arange(64) / 5)
    for number, name in enumerate(("first", "second")):
        pixels = np.outer(rows, np.roll(rows, number)) / 2 + 0.5
        write(tmp_path / f"{name}.png", Radiograph(pixels.astype(np.float32)))
    paths = [tmp_path / f"{name}.png" for name in ("broken", "first", "second")]
    return [Film(path, path.stem, path.stem, None, "test") for path in paths]


def test_the_picture_is_of_the_first_film_that_can_be_read(films, trained, tmp_path):
    models = {"GAN": load(trained["tflite"])}
    for name, some in {"all": films, "first": films[1:2], "second": films[2:]}.items():
        draw_comparison(tmp_path / f"of_{name}.png", models, some, "16:64")
    pictures = [(tmp_path / f"of_{n}.png").read_bytes() for n in ("all", "first", "second")]
    assert len(pictures[0]) > 10_000
    assert pictures[0] == pictures[1] != pictures[2]


def test_where_no_film_can_be_read_the_reason_is_said(films, tmp_path):
    with pytest.raises(UserError, match=r"No film can be used for 16:64: .*broken\.png: is not"):
        draw_comparison(tmp_path / "picture.png", {}, films[:1], "16:64")
    assert not (tmp_path / "picture.png").exists()
