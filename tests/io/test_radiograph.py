"""What a film carries with it: notices, and what made it, in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr.io import Notice, Provenance, Radiograph, read, write
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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".dcm"])
def test_pictures_carry_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    made = Provenance("edge-x4", "ab" * 32, 4)
    write(path, replace(FILM, provenance=made))
    if suffix == ".dcm":
        header = read(path).header
        assert header is not None and header.SyntheticData == "YES"
        assert header.DerivationDescription == made.text
        return
    with Image.open(path) as image:
        found = {
            ".png": image.info.get("Description"),
            ".jpg": image.info.get("comment", b"").decode(),
            ".tif": getattr(image, "tag_v2", {}).get(270),
        }
    assert found[suffix] == made.text
    write(path, FILM, overwrite=True)
    assert b"synthetic" not in path.read_bytes()


def test_notices_come_after_those_that_are_there() -> None:
    one, two = Notice("a", "First."), Notice("b", "Second.")
    noticed = FILM.with_notices(one).with_notices(two)
    assert noticed.notices == (one, two)
    assert FILM.notices == ()
    assert str(one) == "a: First."
