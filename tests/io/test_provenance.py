"""What made a film, in one line that every format can carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr.io import Provenance, Radiograph, write
from xraysr.version import __version__

FILM = Radiograph(np.zeros((4, 6), np.float32), 12)


def test_the_text() -> None:
    made = Provenance("edge-x4", "ab" * 32, 4)
    assert made.version == __version__
    assert made.text == (
        f"xraysr {__version__}, model edge-x4 (weights sha256 {'ab' * 32}), x4: "
        "detail may be synthetic"
    )
    with_options = Provenance("a", "b", 2, "1.0", ("faithful", "ensemble"))
    assert with_options.text.endswith("x2, faithful, ensemble: detail may be synthetic")


def test_the_text_is_one_line_of_ascii() -> None:
    text = Provenance("größe\n山 x", "", 2).text
    assert text.isascii() and "\n" not in text and "gr??e ? x" in text


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_pictures_carry_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    made = Provenance("edge-x4", "ab" * 32, 4)
    write(path, FILM, provenance=made)
    with Image.open(path) as image:
        found = {
            ".png": image.info.get("Description"),
            ".jpg": image.info.get("comment", b"").decode(),
            ".tif": getattr(image, "tag_v2", {}).get(270),
        }
    assert found[suffix] == made.text
    write(path, FILM, overwrite=True)
    assert b"synthetic" not in path.read_bytes()
