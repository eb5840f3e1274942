"""The signature from files to files, against Pillow, Keras and what damages files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from xraysr.errors import BadImageError
from xraysr.export import image_signature as module
from xraysr.export.image_signature import image_signature, in_tiles
from xraysr.io import read
from xraysr.models.open import load_generator
from xraysr.upscale import load

RANDOM = np.random.default_rng(3)
GREY8 = RANDOM.integers(0, 256, (14, 23), dtype=np.uint8)
GREY16 = RANDOM.integers(0, 65536, (9, 12), dtype=np.uint16)
COLOUR = RANDOM.integers(0, 256, (11, 10, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(40), 2 * np.arange(30)).astype(np.uint8)
REFUSAL = r"image_bytes\[2\] is not a PNG or JPEG image that can be decoded"


def encode(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
        assert image.mode in ("L", "I;16")
        return np.asarray(image)


def read_back(path: Path, data: bytes) -> np.ndarray:
    """Levels as `xraysr.io` reads them."""
    path.write_bytes(data)
    film = read(path)
    return film.pixels.astype(np.float64) * (2**film.bits - 1)


def run(signature, files: list[bytes]) -> list[bytes]:
    (result,) = signature(image_bytes=tf.constant(files, tf.string)).values()
    return result.numpy().tolist()


@pytest.fixture(scope="module")
def echo():
    """The signature around a network that changes nothing: what it reads, it writes."""
    return image_signature(lambda lr: lr, scale=1, radius=0)


@pytest.fixture(scope="module")
def served(trained):
    return tf.saved_model.load(str(trained["saved_model"])).signatures["image_bytes"]


PNGS = {
    "8 bits": encode(GREY8),
    "16 bits": encode(GREY16),
    "1 bit": encode(Image.fromarray(GREY8).convert("1")),
    "2 bits": encode(Image.fromarray(GREY8 // 64).convert("P"), bits=2),
    "palette": encode(Image.fromarray(COLOUR).quantize(16)),
    "equal channels": encode(np.repeat(GREY8[..., None], 3, axis=-1)),
    "grey and alpha": encode(np.stack([GREY8, GREY8 // 2], axis=-1)),
    "equal channels and alpha": encode(np.stack([GREY8] * 3 + [GREY8 // 2], axis=-1)),
}


@pytest.mark.parametrize("data", PNGS.values(), ids=PNGS.keys())
def test_a_png_is_read_as_the_library_reads_it(echo, tmp_path, data):
    (file,) = run(echo, [data])
    expected = read_back(tmp_path / "film.png", data)
    np.testing.assert_array_equal(pixels(file), np.round(expected))
    assert pixels(file).dtype == (np.uint16 if data is PNGS["16 bits"] else np.uint8)


def test_colour_becomes_luma(echo, tmp_path):
    (file,) = run(echo, [encode(COLOUR)])
    expected = COLOUR @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(pixels(file), expected, atol=0.5 + 1e-4)
    np.testing.assert_allclose(
        pixels(file), read_back(tmp_path / "film.png", encode(COLOUR)), atol=0.5 + 1e-4
    )


def test_colour_of_16_bits_keeps_its_depth(echo, tmp_path):
    colour = RANDOM.integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    data = tf.io.encode_png(colour).numpy()
    (file,) = run(echo, [data])
    expected = colour @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(pixels(file), expected, atol=0.5 + 1e-2)
    with pytest.raises(BadImageError, match="in colour"):
        read_back(tmp_path / "film.png", data)


JPEGS = {
    "grey": encode(SMOOTH, "JPEG"),
    "noise": encode(GREY8, "JPEG", quality=95),
    "colour": encode(np.stack([SMOOTH, SMOOTH // 2, 255 - SMOOTH // 3], axis=-1), "JPEG"),
    "progressive": encode(SMOOTH, "JPEG", progressive=True),
    "CMYK": encode(Image.fromarray(np.stack([SMOOTH] * 3, axis=-1)).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS.keys())
def test_a_jpeg_is_read_as_the_library_reads_it(echo, tmp_path, data):
    (file,) = run(echo, [data])
    assert pixels(file).dtype == np.uint8
    expected = read_back(tmp_path / "film.jpg", data)
    np.testing.assert_allclose(pixels(file), expected, atol=0.5 + 1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("data", ["JPEG", "PNG", "PNG of 16 bits", "big-endian JPEG"])
def test_the_orientation_tag_is_honoured_as_the_library_does(echo, tmp_path, data, orientation):
    tags = Image.Exif()
    tags[271] = "a maker before it"
    tags[274] = orientation
    if data.startswith("big"):
        tags.endian = ">"
    image, format = (GREY16, "PNG") if data.endswith("bits") else (SMOOTH, data.split()[-1])
    file = encode(image, format, exif=tags)
    (found,) = run(echo, [file])
    assert pixels(found).shape == (image.shape if orientation < 5 else image.T.shape)
    expected = read_back(tmp_path / "film", file)
    np.testing.assert_allclose(pixels(found), expected, atol=0.5 + 1e-3)


def test_an_exported_model_turns_a_film_as_the_local_route_does(trained, served, tmp_path):
    tags = Image.Exif()
    tags[274] = 6
    data = encode(GREY8, "JPEG", exif=tags, quality=95)
    expected = load(trained["saved_model"])(read_back(tmp_path / "a.jpg", data) / 255)
    found = pixels(*run(served, [data]))
    assert found.shape == expected.shape == (4 * GREY8.shape[1], 4 * GREY8.shape[0])
    np.testing.assert_allclose(found, 255 * expected.astype(np.float64), atol=0.5 + 255e-5)


def test_of_an_animation_the_first_frame_counts(echo):
    frames = [Image.fromarray(each) for each in (GREY8, 255 - GREY8)]
    data = encode(frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(*run(echo, [data])), GREY8)


def test_values_are_rounded_and_clipped():
    values = np.array([[-0.1, 0.0, 0.4 / 255, 0.6 / 255, 200.4 / 255, 1.0, 1.1]], np.float32)
    signature = image_signature(lambda lr: tf.constant(values)[None, ..., None], scale=1, radius=0)
    (file,) = run(signature, [encode(np.zeros_like(values, np.uint8))])
    assert pixels(file).tolist() == [[0, 0, 0, 1, 200, 255, 255]]


def test_a_mixed_batch_gives_what_keras_gives(trained, served, echo):
    """Each level is the nearest to Keras' value, which may differ by the parity of 1e-5."""
    generator = load_generator(trained["keras"])
    files = [encode(GREY8), JPEGS["grey"], encode(GREY16), encode(GREY8[:1, :1]), encode(COLOUR)]
    levels = [pixels(file) for file in run(served, files)]
    assert [each.dtype for each in levels] == [np.uint8, np.uint8, np.uint16, np.uint8, np.uint8]
    assert len({each.shape for each in levels}) == 5
    for data, found in zip(files[:4], levels, strict=False):
        top = np.iinfo(found.dtype).max
        lr = pixels(*run(echo, [data])).astype(np.float32) / np.float32(top)
        expected = np.asarray(generator(lr[None, ..., None]))[0, ..., 0].astype(np.float64) * top
        np.testing.assert_allclose(found, expected, atol=0.5 + 1e-5 * top, rtol=0)


def test_a_large_image_goes_through_in_tiles(trained, served):
    generator = load_generator(trained["keras"])
    film = RANDOM.integers(0, 256, (3, 1100), dtype=np.uint8)
    found = pixels(*run(served, [encode(film)]))
    expected = np.asarray(generator(film[None, ..., None].astype(np.float32) / 255))[0, ..., 0]
    np.testing.assert_allclose(found, expected.astype(np.float64) * 255, atol=0.5 + 255e-5, rtol=0)


def test_an_empty_batch_gives_an_empty_batch(served):
    assert run(served, []) == []


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def claiming(width: int, height: int) -> bytes:
    """A sound PNG but for its header, which says another size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = encode(GREY8)
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


DAMAGED = {
    "empty": b"",
    "text": b"no image",
    "only a PNG's marker": encode(GREY8)[:8],
    "a PNG's header": encode(GREY8)[:33],
    "a PNG cut in the middle": encode(GREY8)[:200],
    "a PNG without its end": encode(GREY8)[:-12],
    "a PNG with a wrong bit": flipped(encode(GREY8), 150),
    "a PNG of 16 bits with a wrong bit": flipped(encode(GREY16), 150),
    "a PNG whose size is wrong": claiming(500, 400),
    "a PNG without height": claiming(23, 0),
    "a PNG of negative width": claiming(2**32 - 1, 14),
    "a JPEG's header": JPEGS["noise"][:300],
    "a JPEG cut in the middle": JPEGS["noise"][:-200],
    "a JPEG without its end": JPEGS["noise"][:-2],
    "GIF": encode(GREY8, "GIF"),
    "BMP": encode(GREY8, "BMP"),
    "WebP": encode(GREY8, "WEBP"),
    "TIFF": encode(GREY8, "TIFF"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_image_is_named_by_its_place(served, data):
    with pytest.raises(tf.errors.InvalidArgumentError, match=REFUSAL):
        run(served, [encode(GREY8), JPEGS["grey"], data, encode(GREY16)])


def claiming_jpeg(width: int, height: int) -> bytes:
    start = JPEGS["grey"].index(b"\xff\xc0") + 5
    return JPEGS["grey"][:start] + struct.pack(">HH", height, width) + JPEGS["grey"][start + 4 :]


@pytest.mark.parametrize("claim", [claiming, claiming_jpeg])
def test_a_header_that_says_too_much_is_not_believed(served, claim):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[1\] has 3600000000 pixels"):
        run(served, [encode(GREY8), claim(60000, 60000)])


def test_the_most_pixels_are_decoded_and_one_more_are_not(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 4 * GREY8.size)
    twice = image_signature(lambda lr: tf.repeat(tf.repeat(lr, 2, 1), 2, 2), scale=2, radius=0)
    np.testing.assert_array_equal(pixels(*run(twice, [encode(GREY8)]))[::2, 1::2], GREY8)
    larger = encode(np.zeros((1, GREY8.size + 1), np.uint8))[:-20]  # decoding it would fail
    with pytest.raises(tf.errors.InvalidArgumentError, match="323 pixels, expected at most 322"):
        run(twice, [larger])


SIZES = [(1, 1), (4, 50), (16, 16), (17, 22), (22, 23), (40, 33), (54, 9)]


def blur(radius: int):
    """Repeats pixels twice after a mean over `2 radius + 1`, edges padded with zeros."""

    def run(batch: tf.Tensor) -> tf.Tensor:
        size = 2 * radius + 1
        kernel = tf.fill((size, size, 1, 1), 1 / size**2)
        mean = tf.nn.conv2d(batch, kernel, 1, "SAME")
        return tf.repeat(tf.repeat(mean, 2, axis=1), 2, axis=2)

    return run


@pytest.mark.parametrize("size", SIZES)
def test_an_overlap_of_the_radius_changes_nothing(size):
    image = np.random.default_rng(0).random((1, *size, 1), dtype=np.float32)
    run = blur(3)
    tiled = tf.function(in_tiles(run, 2, 3, step=16))
    np.testing.assert_allclose(tiled(image), run(image), atol=1e-6)


def test_a_smaller_overlap_shows():
    image = np.random.default_rng(0).random((1, 40, 40, 1), dtype=np.float32)
    run = blur(3)
    assert np.abs(in_tiles(run, 2, 1, step=16)(image) - run(image)).max() > 0.01


@pytest.mark.parametrize("size", SIZES)
def test_what_runs_sees_a_tile_at_a_time(size):
    seen = []

    def run(batch: tf.Tensor) -> tf.Tensor:
        seen.append(batch.shape[1:3].as_list())
        return batch

    in_tiles(run, 1, 3, step=16)(tf.zeros((1, *size, 1)))
    assert np.max(seen) <= 16 + 2 * 3
    # No tile but what is needed: the first takes 19 pixels of a side, the last its rest.
    assert len(seen) == np.prod([max(1, -(-(side - 6) // 16)) for side in size])


def test_a_generator_gives_the_same_image_in_tiles(trained):
    generator = load_generator(trained["keras"])
    tiled = in_tiles(generator.call, generator.scale, generator.receptive_radius, step=8)
    image = np.random.default_rng(1).random((1, 43, 30, 1), dtype=np.float32)
    np.testing.assert_allclose(tiled(image), generator(image), atol=1e-5)
