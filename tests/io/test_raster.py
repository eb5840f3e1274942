"""PNG, JPEG and TIFF as other programs write them, and as accidents leave them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from xraysr.errors import BadImageError, UserError
from xraysr.io import read
from xraysr.io.raster import read_raster

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (9, 13), np.uint8)
GREY16 = RNG.integers(0, 65536, (9, 13)).astype(np.uint16)


def save(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def png(depth: int, colour: int, rows: bytes, width: int, height: int) -> bytes:
    """A PNG written by hand (W3C PNG, third edition), for what Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    start = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", start), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_8_and_16(tmp_path: Path, suffix: str) -> None:
    eight = read_raster(save(tmp_path / f"8{suffix}", GREY8))
    assert (eight.bits, eight.pixels.dtype, eight.spacing) == (8, np.float32, None)
    np.testing.assert_array_equal(eight.stored(), GREY8)
    np.testing.assert_allclose(eight.pixels, GREY8 / 255, atol=1e-7)
    sixteen = read_raster(save(tmp_path / f"16{suffix}", GREY16))
    assert sixteen.bits == 16
    np.testing.assert_array_equal(sixteen.stored(), GREY16)


def test_resolution_tags_are_not_spacing(tmp_path: Path) -> None:
    assert read_raster(save(tmp_path / "a.png", GREY8, dpi=(72, 72))).spacing is None


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("order", [">u2", "<u2"])
def test_tiff_of_both_byte_orders(tmp_path: Path, order: str, compression: str | None) -> None:
    path = save(tmp_path / "a.tif", GREY16.astype(order), compression=compression)
    np.testing.assert_array_equal(read_raster(path).stored(), GREY16)


@pytest.mark.parametrize("values", [GREY8, GREY16], ids=["8", "16"])
def test_tiff_where_white_is_zero(tmp_path: Path, values: np.ndarray) -> None:
    data = bytearray(save(tmp_path / "a.tif", values).read_bytes())
    photometric = struct.pack("<HHI", 262, 3, 1)
    assert data.count(photometric) == 1
    at = data.index(photometric)
    data[at : at + 12] = struct.pack("<HHIHH", 262, 3, 1, 0, 0)
    (tmp_path / "b.tif").write_bytes(data)
    white = np.iinfo(values.dtype).max
    np.testing.assert_array_equal(read_raster(tmp_path / "b.tif").stored(), white - values)


def test_twelve_bit_tiff_fills_the_range(tmp_path: Path) -> None:
    # Two values of 12 bits are three bytes: 0x000, 0xFFF.
    tags = [
        (256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = b"II*\x00" + struct.pack("<I", 12) + b"\x00\x0f\xff\x00"
    data = start + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(data)
    radiograph = read_raster(tmp_path / "a.tif")
    assert radiograph.bits == 12
    assert radiograph.pixels.tolist() == [[0.0, 1.0]]


def test_tiff_whose_strips_end_early(tmp_path: Path) -> None:
    data = bytearray(save(tmp_path / "a.tif", GREY8).read_bytes())
    height = struct.pack("<HHII", 257, 4, 1, 9)
    assert data.count(height) == 1
    at = data.index(height)
    data[at : at + 12] = struct.pack("<HHII", 257, 4, 1, 20)
    (tmp_path / "b.tif").write_bytes(data)
    with pytest.raises(BadImageError, match=r"b\.tif: truncated \(its strips hold 9 of 20 rows"):
        read_raster(tmp_path / "b.tif")


def test_32_bit_values_within_16_bits(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", GREY16.astype(np.int32))
    radiograph = read_raster(path)
    assert radiograph.bits == 16
    np.testing.assert_array_equal(radiograph.stored(), GREY16)


@pytest.mark.parametrize("value", [65536, -1])
def test_32_bit_values_beyond_16_bits_need_a_range(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "a.tif", np.array([[0, value]], np.int32))
    with pytest.raises(BadImageError, match=rf"a\.tif.*{value}.*in 32 bits.*value_range"):
        read_raster(path)
    ends = min(0, value), max(0, value)
    film = read(path, value_range=ends)
    assert film.pixels.tolist() == [[float(value < 0), float(value > 0)]]


def test_float_tiff(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", GREY8.astype(np.float32) / 255)
    np.testing.assert_allclose(read_raster(path).pixels, GREY8 / 255, atol=1e-7)
    path = save(tmp_path / "b.tif", GREY8.astype(np.float32))
    with pytest.raises(
        BadImageError, match=r"b\.tif.*floating-point values from 0 to 2.*value_range"
    ):
        read_raster(path)
    np.testing.assert_allclose(read(path, value_range=(0, 255)).pixels, GREY8 / 255, atol=1e-7)
    cut = read(path, value_range=(10, 100))
    assert [notice.code for notice in cut.notices] == ["range-cut"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_disguise_is_exact(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(GREY8).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(255 - GREY8))  # density does not depend on it
    radiograph = read_raster(save(tmp_path / "a.png", image))
    assert radiograph.bits == 8
    np.testing.assert_array_equal(radiograph.stored(), GREY8)


def test_palette_with_transparency_does_not_warn(tmp_path: Path) -> None:
    image = Image.fromarray(GREY8).convert("P")
    path = save(tmp_path / "a.png", image, transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_raster(path).stored(), GREY8)


def test_one_bit(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(GREY8 > 127))
    np.testing.assert_array_equal(read_raster(path).stored(), np.where(GREY8 > 127, 255, 0))


def test_colour_becomes_luma_without_rounding(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 256, (9, 13, 3), np.uint8)
    radiograph = read_raster(save(tmp_path / "a.png", rgb))
    expected = (0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]) / 255
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)
    white = read_raster(
        save(tmp_path / "b.png", np.array([[[255, 255, 255], [255, 255, 254]]], np.uint8))
    )
    assert white.pixels.max() == 1


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_png_is_refused(tmp_path: Path, colour: int, channels: int) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(16, colour, b"\x00\x00\x01" * channels + b"\x00", 1, 1))
    with Image.open(path) as image:
        assert image.mode in ("RGB", "RGBA")  # Pillow alone would go on in 8 bits
    if colour == 4:
        assert read_raster(path).stored().tolist() == [[1]]  # transparency is dropped
        return
    with pytest.raises(BadImageError, match=r"deep\.png: 16 bits per channel.*greyscale"):
        read_raster(path)


@pytest.mark.parametrize("filters", [(0, 1, 2, 3, 4), (4,), (3, 1)])
@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_channels_through_every_filter(
    tmp_path: Path, colour: int, channels: int, filters: tuple[int, ...]
) -> None:
    samples = np.repeat(GREY16[..., None], channels, 2)
    raw = samples.astype(">u2").tobytes()
    row, step = 13 * 2 * channels, 2 * channels
    lines = [
        np.frombuffer(raw[at : at + row], np.uint8).astype(int) for at in range(0, len(raw), row)
    ]
    above, coded = np.zeros(row, int), b""
    for number, line in enumerate(lines):
        kind = filters[number % len(filters)]
        left, corner = (
            np.concatenate([np.zeros(step, int), each[:-step]]) for each in (line, above)
        )
        plane = left + above - corner
        nearest = np.stack([abs(plane - each) for each in (left, above, corner)]).argmin(0)
        paeth = np.choose(nearest, [left, above, corner])
        guess = (0, left, above, (left + above) // 2, paeth)[kind]
        coded += bytes([kind]) + ((line - guess) % 256).astype(np.uint8).tobytes()
        above = line
    path = tmp_path / "a.png"
    path.write_bytes(png(16, colour, coded, 13, 9))
    np.testing.assert_array_equal(read_raster(path).stored(), GREY16)


def test_16_bit_colour_tiff_is_refused(tmp_path: Path) -> None:
    colour = RNG.integers(0, 65536, (4, 6, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", colour, photometric="rgb")
    with pytest.raises(BadImageError, match=r"deep\.tif: 16 bits per channel"):
        read_raster(tmp_path / "deep.tif")


FRAMES = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8), Image.fromarray(GREY8 // 2)]


def test_animations_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", FRAMES[0], save_all=True, append_images=FRAMES[1:])
    with pytest.raises(BadImageError, match=r"a\.png: holds 3 frames"):
        read_raster(path)


def test_pages(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", FRAMES[0], save_all=True, append_images=FRAMES[1:])
    film = read(path)
    np.testing.assert_array_equal(film.stored(), GREY8)
    assert [notice.code for notice in film.notices] == ["several-pages"]
    third = read(path, page=3)
    np.testing.assert_array_equal(third.stored(), GREY8 // 2)
    assert not third.notices
    with pytest.raises(UserError, match=r"page must be 1 to 3. Received: 4"):
        read(path, page=4)
    with pytest.raises(UserError, match="page must be 1"):
        read(save(tmp_path / "a.png", GREY8), page=2)


@pytest.mark.parametrize("arguments", [{"bits": 0}, {"bits": 17}, {"value_range": (1, 1)}])
def test_arguments_that_make_no_sense(tmp_path: Path, arguments: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        read(save(tmp_path / "a.png", GREY16), **arguments)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_is_honoured(tmp_path: Path, suffix: str) -> None:
    half = np.zeros((16, 32), np.uint8)
    half[:, 16:] = 255  # bright on the right: turned a quarter clockwise, at the bottom
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = read_raster(save(tmp_path / f"a{suffix}", half, exif=exif)).pixels
    assert pixels.shape == (32, 16)
    assert pixels[:15].max() < 0.1 and pixels[17:].min() > 0.9


def test_one_pixel(tmp_path: Path) -> None:
    assert read_raster(save(tmp_path / "a.png", np.full((1, 1), 51, np.uint8))).pixels == 0.2


@pytest.mark.parametrize(
    ("name", "values"),
    [("a.png", GREY8), ("b.png", GREY16), ("a.jpg", GREY8), ("a.tif", GREY16)],
)
def test_truncated_anywhere(tmp_path: Path, name: str, values: np.ndarray) -> None:
    whole = save(tmp_path / name, values).read_bytes()
    path = tmp_path / f"cut_{name}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(1, len(whole), 7):
            path.write_bytes(whole[:size])
            with pytest.raises(BadImageError, match=rf"cut_{name}: truncated"):
                read_raster(path)


def test_png_without_its_last_byte(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.png", GREY8).read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-1])
    with pytest.raises(BadImageError, match="truncated"):
        read_raster(tmp_path / "b.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_damage_raises_nothing_but_bad_image(tmp_path: Path, name: str) -> None:
    whole = save(tmp_path / name, GREY8).read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(data)
        try:
            read_raster(tmp_path / name)
        except BadImageError as error:
            assert str(error).startswith(str(tmp_path / name))
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("side", [10_000, 40_000])
def test_bombs_are_refused_without_a_warning(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8, 0, b"", side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImageError, match=r"bomb\.png: too large to open safely"):
            read_raster(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_raster(tmp_path / "a.png")


def test_kermany_films_are_read_as_pillow_sees_them(shared_data: Path) -> None:
    for path in sorted((shared_data / "kermany_224/test/PNEUMONIA").iterdir())[:5]:
        rgb = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"), np.float64)
        expected = rgb @ [0.299, 0.587, 0.114] / 255
        np.testing.assert_allclose(read_raster(path).pixels, expected, atol=1e-6)


def test_nih_films_are_exact(shared_data: Path) -> None:
    for path in sorted((shared_data / "nih_chest_xray/test/NORMAL").iterdir())[:5]:
        with Image.open(path) as image:
            np.testing.assert_array_equal(read_raster(path).stored(), np.asarray(image))
