"""Dispatch by content when reading, by suffix when writing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from xraysr.errors import BadImageError, UserError
from xraysr.io import IMAGE_SUFFIXES, Radiograph, read, write


def film(bits: int = 8, size: tuple[int, int] = (5, 7)) -> Radiograph:
    levels = (1 << bits) - 1
    values = np.random.default_rng(bits).integers(0, levels + 1, size)
    return Radiograph((values / levels).astype(np.float32), bits)


def real_cr() -> Path:
    return Path(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))


def test_suffixes() -> None:
    expected = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"}
    assert set(IMAGE_SUFFIXES) == expected


def test_a_wrong_suffix_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", film())
    (tmp_path / "a.tif").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read(tmp_path / "a.jpg").pixels, film().pixels)


def test_dicom_without_suffix_and_a_string_path() -> None:
    radiograph = read(str(real_cr()))
    assert (radiograph.size, radiograph.bits) == ((16, 16), 12)
    assert radiograph.source == real_cr()


@pytest.mark.parametrize("suffix", [".png", ".dcm", ""])
def test_text_is_called_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"note{suffix}"
    path.write_text("Patient was seen on Monday.\n" * 50 + "Überweisung")
    with pytest.raises(BadImageError, match=f"{path.name} is not an image.*text"):
        read(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PN", "neither PNG, JPEG, TIFF nor DICOM"),
        (bytes(600), "neither PNG, JPEG, TIFF nor DICOM"),
        (b"GIF89a\x01\x00\x01\x00", "GIF"),
        (b"BM" + bytes(60), "BMP"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"%PDF-1.7\n", "PDF"),
        (bytes(344) + b"n+1\x00", "NIfTI"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadImageError, match=rf"a\.png is not an image.*its content is {kind}"):
        read(tmp_path / "a.png")


def test_zero_bytes_no_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(BadImageError, match="empty"):
        read(tmp_path / "a.png")
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "b.png")
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 14, 16])
def test_every_depth_survives_a_round_trip(tmp_path: Path, suffix: str, bits: int) -> None:
    levels = (1 << bits) - 1
    values = np.arange(levels + 1).reshape(1 << (bits // 2), -1)
    original = Radiograph((values / levels).astype(np.float32), bits)
    write(tmp_path / f"a{suffix}", original)
    again = read(tmp_path / f"a{suffix}")
    assert again.bits == (8 if bits <= 8 else 16)
    np.testing.assert_array_equal(np.round(again.pixels.astype(np.float64) * levels), values)


def test_sixteen_bits_use_the_whole_range_so_that_viewers_show_them(tmp_path: Path) -> None:
    white = Radiograph(np.ones((2, 2), np.float32), 12)
    write(tmp_path / "a.png", white)
    assert read(tmp_path / "a.png").stored().max() == 65535


def test_values_outside_the_range_are_clipped(tmp_path: Path) -> None:
    pixels = np.array([[-0.5, 1.5]], np.float32)
    write(tmp_path / "a.png", Radiograph(pixels))
    assert read(tmp_path / "a.png").pixels.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_grey_and_close(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    write(tmp_path / f"a{suffix}", Radiograph(ramp, 12))
    again = read(tmp_path / f"a{suffix}")
    assert again.bits == 8
    assert np.abs(again.pixels - ramp).max() < 0.02


def test_output_that_exists_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="overwrite=True"):
        write(path, film())
    assert path.read_bytes() == b"mine"
    write(path, film(), overwrite=True)
    np.testing.assert_array_equal(read(path).pixels, film().pixels)


@pytest.mark.parametrize("suffix", [".dcm", ".DICOM"])
def test_dicom_comes_back(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", film(12))
    again = read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again.stored(), film(12).stored())


@pytest.mark.parametrize("name", ["a", "a.bmp"])
def test_unknown_output_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"one of \.png.*Received"):
        write(tmp_path / name, film())


def test_a_path_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="Cannot write"):
        write(tmp_path / "folder.png", film(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_pictures_are_windowed_and_tiffs_are_not(tmp_path: Path) -> None:
    header = Dataset()
    header.BitsAllocated, header.BitsStored, header.PixelRepresentation = 8, 8, 0
    header.PhotometricInterpretation = "MONOCHROME2"
    header.VOILUTFunction, header.WindowCenter, header.WindowWidth = "LINEAR_EXACT", 102, 102
    pixels = np.array([[0.0, 0.2, 0.4, 0.6, 1.0]], np.float32)
    radiograph = Radiograph(pixels, header=header)
    write(tmp_path / "a.png", radiograph)
    np.testing.assert_allclose(read(tmp_path / "a.png").pixels, [[0, 0, 0.5, 1, 1]], atol=0.5 / 255)
    write(tmp_path / "a.tif", radiograph)
    np.testing.assert_allclose(read(tmp_path / "a.tif").pixels, pixels, atol=1e-6)


def test_reading_a_png_imports_neither_pydicom_nor_tensorflow(tmp_path: Path) -> None:
    write(tmp_path / "a.png", film())
    code = (
        "import sys; from xraysr.io import read, write; film = read(sys.argv[1]); "
        "write(sys.argv[1], film, overwrite=True); "
        "print([m for m in ('pydicom', 'tifffile', 'tensorflow', 'keras') if m in sys.modules])"
    )
    assert in_a_new_process(code, tmp_path / "a.png") == "[]"


@pytest.mark.parametrize(("module", "suffix"), [("pydicom", ".dcm"), ("tifffile", ".tif")])
def test_a_library_that_is_not_installed_is_named(tmp_path: Path, module: str, suffix: str) -> None:
    write(tmp_path / "a.png", film())
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from xraysr.io import read, write; from xraysr.errors import UserError\n"
        "film = read(sys.argv[1])\n"
        f"try: write(sys.argv[1] + {suffix!r}, film)\n"
        "except UserError as error: print(error)"
    )
    assert f"pip install {module}" in in_a_new_process(code, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def in_a_new_process(code: str, *words: object) -> str:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_real_films_read(shared_data: Path) -> None:
    nih = read(next((shared_data / "nih_chest_xray/test/NORMAL").glob("*.png")))
    assert (nih.size, nih.bits) == ((512, 512), 8)
    kermany = read(next((shared_data / "kermany_224/test/PNEUMONIA").glob("*.jpeg")))
    assert min(kermany.size) >= 224
    for radiograph in (nih, kermany):
        assert radiograph.pixels.min() >= 0 and radiograph.pixels.max() <= 1
        assert radiograph.pixels.std() > 0.1
