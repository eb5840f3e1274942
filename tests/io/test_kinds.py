"""The table of `kinds`: what must read, and what must be refused by name; and the shared cases."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr.errors import BadImageError
from xraysr.io import kind_of, read, write

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"


def _kinds() -> object:
    spec = importlib.util.spec_from_file_location("kinds", Path(__file__).with_name("kinds.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["kinds"] = module
    spec.loader.exec_module(module)
    return module


kinds = _kinds()


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: f"{kind.format}, {kind.what}")
def test_kind(tmp_path: Path, kind: object) -> None:
    for module in kind.needs:
        pytest.importorskip(module)
    path = tmp_path / "film"
    kind.make(path)
    if kind.refused:
        with pytest.raises(BadImageError, match=rf"film.*({kind.refused})"):
            read(path, **kind.arguments)
        return
    assert kind_of(path) == kind.format
    film = read(path, **kind.arguments)
    assert film.size == kinds.PICTURE.shape
    assert np.corrcoef(film.pixels.ravel(), kinds.PICTURE.ravel())[0, 1] > 0.995
    assert np.abs(film.pixels - kinds.PICTURE).mean() < kind.near
    assert tuple(notice.code for notice in film.notices) == kind.notices
    assert all(notice.text.endswith(".") for notice in film.notices)
    write(tmp_path / "out.dcm", film)
    again = read(tmp_path / "out.dcm")
    rounding = 0.5 / ((1 << film.bits) - 1)
    np.testing.assert_allclose(again.pixels, film.pixels, atol=rounding + 3e-5)


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "formats.md").read_text() == kinds.page(), (
        "python tests/io/kinds.py > docs/formats.md"
    )


NOTICES = {
    "c04": "codestream-precision",
    "c05": "bits-above-stored",
    "c30a": "unlike-training",
    "c30d": "unlike-training",
    "r14_": "range-12-in-16",
    "r15_": "several-pages",
    "r17h": "several-pages",
    "y23": "window-outside",
    "y30": "signed-values",
    "z3": "signed-values",
}
FAR = {"r14_": 1, "y05b": 0.2}  # read as 16 bits; its own encoder moved the values


@pytest.mark.parametrize(
    "path", sorted(CASES.glob("*/*")) if CASES.is_dir() else [], ids=lambda path: path.name
)
def test_shared_case(tmp_path: Path, path: Path) -> None:
    if path.name.startswith(("x13", "r16j")):
        with pytest.raises(BadImageError, match=r"is private|its content is BMP"):
            read(path)
        return
    if path.name.startswith("y05b"):
        pytest.importorskip("imagecodecs")
    picture, film = np.load(CASES / "reference.npy"), read(path)
    found = {code for name, code in NOTICES.items() if path.name.startswith(name)}
    assert {notice.code for notice in film.notices} == found
    assert np.corrcoef(film.pixels.ravel(), picture.ravel())[0, 1] > 0.99
    near = next((far for name, far in FAR.items() if path.name.startswith(name)), 0.01)
    assert np.abs(film.pixels - picture).mean() < near
    write(tmp_path / "out.png", film)
    write(tmp_path / "out.dcm", film)
    np.testing.assert_allclose(read(tmp_path / "out.dcm").pixels, film.pixels, atol=3e-5)
    if path.name.startswith("y23"):
        assert np.ptp(read(tmp_path / "out.png").pixels) > 0.5


# What dcmtk shows otherwise: it believes the header, where values and codestream say more.
DCMTK_BELIEVES_THE_HEADER = (
    "14 bits under BitsStored 12",
    "BitsStored 12",
    "HighBit",
    "header",
    "functional groups",
)
DCMTK = [kind for kind in kinds.KINDS if kind.format == "DICOM" and not kind.refused]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="needs dcmtk")
def test_dcmtk_shows_the_same(tmp_path: Path) -> None:
    """Of what dcmtk decodes here, whose codecs are others; windows off."""
    shown, path, picture = 0, tmp_path / "film.dcm", tmp_path / "film.pgm"
    for kind in DCMTK:
        if any(not importlib.util.find_spec(module) for module in kind.needs):
            continue
        kind.make(path)
        picture.unlink(missing_ok=True)
        command = ["dcmj2pnm", "+ob", "-W", str(path), str(picture)]
        subprocess.run(command, capture_output=True, timeout=60)
        if not picture.exists() or picture.stat().st_size < 20:
            continue
        with Image.open(picture) as image:
            theirs = np.asarray(image.convert("L"), float)
        same = np.corrcoef(theirs.ravel(), read(path, **kind.arguments).pixels.ravel())[0, 1]
        if not any(words in kind.what for words in DCMTK_BELIEVES_THE_HEADER):
            assert same > 0.99, kind.what
        shown += 1
    assert shown > 40
