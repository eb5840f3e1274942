"""From a film of any size to HR: crop, pad or stretch, and never enlarge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from xraysr.errors import BadImageError, UserError
from xraysr.io import read
from xraysr.pair import Size

FITS = ("crop", "pad", "stretch")


def fit_to(pixels: np.ndarray, size: Size, mode: str = "crop") -> np.ndarray:
    """Brings a film (h, w), float32 in [0, 1], to `size`; float32, clipped to [0, 1].

    Reducing is Lanczos with antialias, in floating point. A film, or window of it, that has the
    size already keeps its pixels bit for bit.

    Args:
        pixels: The film.
        size: Height and width wanted.
        mode: "crop" takes the largest centred window of the wanted aspect ratio; "pad" shrinks
            the whole film to fit inside and centres it on black; "stretch" ignores the aspect.

    Raises:
        BadImageError: if the film would have to be enlarged.
        UserError: if `mode` is none of `FITS`.
    """
    height, width = pixels.shape
    if mode == "stretch":
        _refuse_small(pixels.shape, size, height < size[0] or width < size[1])
        return _reduce(pixels, size)
    if mode == "crop":
        _refuse_small(pixels.shape, size, height < size[0] or width < size[1])
        # Integers only, so that a ratio held exactly is never cut by a rounding error.
        window = (
            min(height, width * size[0] // size[1]),
            min(width, height * size[1] // size[0]),
        )
        top, left = (height - window[0]) // 2, (width - window[1]) // 2
        return _reduce(pixels[top : top + window[0], left : left + window[1]], size)
    if mode == "pad":
        _refuse_small(pixels.shape, size, height < size[0] and width < size[1])
        inner = (
            min(size[0], max(1, round(height * size[1] / width))),
            min(size[1], max(1, round(width * size[0] / height))),
        )
        inner = (min(inner[0], height), min(inner[1], width))
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        padded = np.zeros(size, np.float32)
        padded[top : top + inner[0], left : left + inner[1]] = _reduce(pixels, inner)
        return padded
    raise UserError(f"fit must be one of {', '.join(FITS)}. Received: {mode!r}")


def load_hr(
    path: Path, size: Size, mode: str = "crop", notices: list[str] | None = None
) -> tuple[np.ndarray, int]:
    """Reads the film at `path` as HR of `size`: the integers a file holds, and their bits.

    The codes of the film's notices are appended to `notices`.

    Returns:
        uint8 and 8 for films of up to 8 bits, else uint16 and 16: films of 10 to 15 bits are
        spread over the full 16, as PNG stores them, so that a prepared folder and a film read on
        the fly give the same numbers.

    Raises:
        BadImageError: if the file cannot be read or is smaller than `size`.
    """
    film = read(path)
    if notices is not None:
        notices += [notice.code for notice in film.notices]
    bits = file_bits(film.bits)
    return to_stored(fit_to(film.pixels, size, mode), bits), bits


def file_bits(bits: int) -> int:
    """Depth of the file that holds a film of `bits`: 8 or 16."""
    return 8 if bits <= 8 else 16


def to_stored(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Rounds [0, 1] to the integers of an 8- or 16-bit file, uint8 or uint16."""
    levels = (1 << bits) - 1
    scaled = np.round(pixels.astype(np.float64) * levels)
    return scaled.astype(np.uint8 if bits == 8 else np.uint16)


def _reduce(pixels: np.ndarray, size: Size) -> np.ndarray:
    if pixels.shape == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    reduced = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(reduced, dtype=np.float32), 0.0, 1.0)


def _refuse_small(found: tuple[int, ...], size: Size, too_small: bool) -> None:
    if too_small:
        raise BadImageError(f"smaller than HR: {found[0]}x{found[1]} < {size[0]}x{size[1]}")
