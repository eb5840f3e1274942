"""Films written as their rows come: the same file, whole or not at all, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from xraysr.errors import UserError
from xraysr.io import Radiograph, read, strip_writer, write

LargestFile = Callable[[int], AbstractContextManager[None]]
SUFFIXES = [".png", ".jpg", ".tif", ".dcm"]
FILM = Radiograph(np.random.default_rng(0).random((37, 50), dtype=np.float32), 12)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cuts", [(0, 37), (0, 1, 2, 37), (0, 20, 20, 37)])
def test_strips_make_the_same_picture(tmp_path: Path, suffix: str, cuts: tuple[int, ...]) -> None:
    write(tmp_path / f"a{suffix}", FILM)
    with strip_writer(tmp_path / f"b{suffix}", FILM.size, FILM) as writer:
        for top, bottom in zip(cuts, cuts[1:], strict=False):
            writer.write(FILM.pixels[top:bottom])
    one, two = read(tmp_path / f"a{suffix}"), read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(one.pixels, two.pixels)
    if suffix != ".jpg":
        np.testing.assert_allclose(one.pixels, FILM.pixels, atol=0.51 / 4095)


def test_many_rows_are_converted_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.tif", FILM)
    monkeypatch.setattr("xraysr.io.strips.PIECE", 120)
    write(tmp_path / "b.tif", FILM)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_there_before_the_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with strip_writer(path, FILM.size, FILM) as writer:
        writer.write(FILM.pixels)
        assert not path.exists()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("down"), OSError(5, "network")])
def test_an_error_of_the_caller_passes_and_leaves_nothing(
    tmp_path: Path, suffix: str, error: BaseException
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"before")
    with (
        pytest.raises(type(error)) as raised,
        strip_writer(path, FILM.size, FILM, overwrite=True) as writer,
    ):
        writer.write(FILM.pixels[:9])
        raise error
    assert raised.value is error
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [0, 3000, 100_000])
def test_a_full_disk(tmp_path: Path, largest_file: LargestFile, suffix: str, size: int) -> None:
    film = Radiograph(np.random.default_rng(1).random((400, 300), dtype=np.float32), 16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".jpg" and size == 100_000:
        size = 50_000  # as it is 8 bits, compressed
    with (
        largest_file(size),
        pytest.raises(UserError, match=rf"^Cannot write .*a{suffix}: File too large$"),
    ):
        write(path, film)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".tif", ".dcm"])
def test_a_disk_that_fills_on_the_way(
    tmp_path: Path, largest_file: LargestFile, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    rows = np.zeros((10, 300), np.float32)
    with (
        pytest.raises(UserError, match="Cannot write .*: File too large"),
        strip_writer(path, (1000, 300), FILM) as writer,
    ):
        writer.write(rows)
        with largest_file(100):
            for _ in range(99):
                writer.write(rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_that_are_missing_or_too_many(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with (
        pytest.raises(ValueError, match="has 37 rows. Received: 36"),
        strip_writer(path, FILM.size, FILM) as writer,
    ):
        writer.write(FILM.pixels[:36])
    with (
        pytest.raises(ValueError, match="has 37 rows, and more"),
        strip_writer(path, FILM.size, FILM) as writer,
    ):
        writer.write(FILM.pixels)
        writer.write(FILM.pixels[:1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 49), np.float32), np.zeros((2, 50)), np.zeros((1, 2, 50), np.float32)]
)
def test_rows_of_another_shape(tmp_path: Path, rows: np.ndarray) -> None:
    with (
        pytest.raises(ValueError, match=r"float32 of shape \(n, 50\)"),
        strip_writer(tmp_path / "a.tif", FILM.size, FILM) as writer,
    ):
        writer.write(rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers(tmp_path: Path, suffix: str, value: float) -> None:
    film = Radiograph(np.full((2, 3), value, np.float32))
    with pytest.raises(UserError, match="Cannot write .* NaN or infinite"):
        write(tmp_path / f"a{suffix}", film)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"mine")
    with pytest.raises(UserError, match="overwrite=True"):
        strip_writer(tmp_path / "a.dcm", FILM.size, FILM).__enter__()
    assert (tmp_path / "a.dcm").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["with spaces/a b.dcm", "Über/映像.tif", "a.b/c.d.png"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, FILM)
    assert read(tmp_path / name).size == FILM.size


def test_a_jpeg_that_would_be_too_long(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at most 65500 pixels a side.*\.tif"):
        write(tmp_path / "a.jpg", Radiograph(np.zeros((1, 65501), np.float32)))
    assert list(tmp_path.iterdir()) == []


def test_a_tiff_that_needs_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xraysr.io.raster_write.BIG_TIFF", 100)
    write(tmp_path / "a.tif", FILM)
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    np.testing.assert_allclose(read(tmp_path / "a.tif").pixels, FILM.pixels, atol=1e-5)


def test_a_tiff_has_strips_that_programs_can_stream(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Radiograph(np.zeros((700, 2000), np.float32), 16))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[278] == 262 and len(image.tag_v2[273]) == 3  # rows, strips


# Every strip is different, so that nothing can be left out or written twice unseen.
STREAM = """
import json, sys
import numpy as np
from xraysr.io import Radiograph, strip_writer
from xraysr.upscale.memory import peak_bytes

path, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tiny = Radiograph(np.zeros((4, 4), np.float32), 16)
with strip_writer(path, (4, 4), tiny) as writer:  # imports do not count
    writer.write(tiny.pixels)
like = Radiograph(np.ones((height // 4, width // 4), np.float32), 16)
row = np.linspace(0, 1, width, dtype=np.float32)
before = peak_bytes()
with strip_writer(path, (height, width), like, overwrite=True) as writer:
    for top in range(0, height, 100):
        shift = np.float32(top / height)
        writer.write(np.tile((row + shift) % 1, (100, 1)))
print(json.dumps([before, peak_bytes()]))
"""


@pytest.mark.parametrize("suffix", [".tif", ".dcm"])
def test_200_megapixels_in_the_memory_of_a_strip(tmp_path: Path, suffix: str) -> None:
    path, height, width = tmp_path / f"a{suffix}", 20_000, 10_000
    words = [sys.executable, "-c", STREAM, str(path), str(height), str(width)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert after - before < 64 << 20  # of 400 MB
    data = np.memmap(path, np.uint16, "r")
    assert path.stat().st_size - 2 * height * width < 20_000
    if suffix == ".dcm":
        start = len(data) - height * width
        pixels = data[start:].reshape(height, width)
        film = dcmread(path, stop_before_pixels=True)
        assert (film.Rows, film.Columns) == (height, width)
    else:
        import tifffile

        pixels = tifffile.memmap(path, mode="r")
    row = np.linspace(0, 1, width, dtype=np.float32)
    for top in (0, 100, 9_900, 19_999):
        expected = np.round(((row + np.float32(top // 100 * 100 / height)) % 1) * 65535.0)
        assert np.abs(pixels[top] - expected).max() <= 1
    path.unlink()
