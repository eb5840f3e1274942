"""Which sample values are black and white: from the numbers of a PNG or TIFF to [0, 1].

A file of 16 bits often holds 12, and seldom says so. What it says is honoured; what it leaves
open is read as the full range, and told in a notice with the argument that settles it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.radiograph import Notice

# ITU-R BT.601-7, section 2.5.1: luma from red, green and blue.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
DEPTHS = (8, 10, 12, 14)  # of detectors, that are stored in more bits
MOST = 16  # bits of a Radiograph
ROUNDING = 1e-3  # how far beyond its range a float may lie, as resampling leaves it


@dataclass(frozen=True)
class Wanted:
    """What the caller knows about a file that the file does not say; None for nothing.

    Args:
        page: Which page, counted from 1.
        bits: Bits that its values have.
        value_range: Values that become 0 and 1.
    """

    page: int | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None


NOTHING = Wanted()
Levels = tuple[np.ndarray, int, tuple[Notice, ...]]


def unit(samples: np.ndarray, depth: int, marked: int | None, wanted: Wanted) -> Levels:
    """Pixels float32 in [0, 1], their bits, and what should be known about the range.

    Args:
        samples: (height, width), of any integer or floating type; floats of `depth` 8 are luma,
            0 to 255.
        depth: Bits per sample of the file.
        marked: Bits that the file says are used, by sBIT or MaxSampleValue; None where it does
            not say.
        wanted: What the caller says.

    Raises:
        BadImageError: if values lie outside the range, or are not finite.
    """
    if samples.dtype.kind == "f" and depth == 8:
        return samples / np.float32(255), 8, ()
    if samples.dtype.kind == "f" or wanted.value_range is not None:
        return _ranged(samples, depth, wanted.value_range)
    low, high = int(samples.min()), int(samples.max())
    signed = samples.dtype.kind == "i"
    if wanted.bits is not None and depth > 8:
        if low < 0:
            samples = samples + np.int64(1 << (wanted.bits - 1))
            low, high = int(samples.min()), int(samples.max())
        if low < 0 or high >= 1 << wanted.bits:
            raise BadImageError(
                f"holds values from {low} to {high}, which {wanted.bits} bits do not fit"
            )
        return _divided(samples, wanted.bits), wanted.bits, ()
    if depth > MOST and not _spread(low, high, depth):
        raise BadImageError(
            f"holds values from {low} to {high} in {depth} bits, whose range is not known. "
            "Expected bits, or value_range, the values of black and white"
        )
    if low < 0:
        samples, marked = samples + np.float64(2.0 ** (depth - 1)), None
        return _divided(samples, depth), _bits(depth), (_signed(depth, low, high),)
    if marked is not None and marked < depth:
        if high < 1 << marked:
            return _divided(samples, marked), marked, ()
        # As the PNG standard has it, the significant bits are the high ones.
        return _divided(samples >> (depth - marked), marked), marked, ()
    sure = marked is not None or depth <= DEPTHS[-1]  # as no file has such a depth by chance
    return _full(samples, depth - signed, high, sure)


def _full(samples: np.ndarray, depth: int, high: int, sure: bool) -> Levels:
    """As the whole range of `depth`, with a notice where `high` leaves room for doubt."""
    if sure or not 0 < high < 1 << DEPTHS[-1]:
        if depth > MOST and high < 1 << MOST:
            return _divided(samples, MOST), MOST, (_fewer(MOST, depth, high, MOST),)
        return _divided(samples, depth), _bits(depth), ()
    used = next(bits for bits in DEPTHS if high < 1 << bits)
    taken = min(depth, MOST)
    return _divided(samples, taken), taken, (_fewer(used, depth, high, taken),)


def _spread(low: int, high: int, depth: int) -> bool:
    """Whether values of more than 16 bits are those of 16, or use the range that they have."""
    return 0 <= low <= high < 1 << MOST or max(high, -low) >= 1 << (depth - 4)


def grey(channels: np.ndarray) -> np.ndarray:
    """One channel of (height, width, 3 or more): of equal ones the first, else float32 luma.

    Raises:
        BadImageError: if unequal channels have more than 8 bits.
    """
    red, green, blue = (channels[..., at] for at in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    if channels.dtype != np.uint8:
        raise BadImageError(
            f"{8 * channels.dtype.itemsize} bits per channel in colour, and its channels are not "
            "equal. Expected one grey channel: save it as 16-bit greyscale"
        )
    return np.minimum(channels[..., :3].astype(np.float32) @ LUMA, np.float32(255))


def _bits(depth: int) -> int:
    """Of the Radiograph: files of fewer than 8 bits are read as 8, of more than 16 as 16."""
    return min(max(depth, 8), MOST)


def _fewer(used: int, depth: int, high: int, taken: int) -> Notice:
    depth += depth % 2  # signed values have one bit less
    return Notice(
        f"range-{used}-in-{depth}",
        f"No value is above {high}, so this may be a film of {used} bits in a file of {depth}; "
        f"it was read as one of {taken}. bits={used} reads it as {used}.",
    )


def _signed(depth: int, low: int, high: int) -> Notice:
    end = 1 << (depth - 1)
    return Notice(
        "signed-values",
        f"Signed values from {low} to {high}, read as {-end} black and {end - 1} white. "
        "value_range sets other ends.",
    )


def _ranged(samples: np.ndarray, depth: int, ends: tuple[float, float] | None) -> Levels:
    """As `ends` says, or as floats in [0, 1]."""
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite([low, high]).all():
        raise BadImageError("holds floating-point values that are not finite")
    black, white = ends or (0.0, 1.0)
    pixels = ((samples.astype(np.float64) - black) / (white - black)).astype(np.float32)
    notices: tuple[Notice, ...] = ()
    if low < black - ROUNDING * (white - black) or high > white + ROUNDING * (white - black):
        if ends is None:
            raise BadImageError(
                f"holds floating-point values from {low:g} to {high:g}. Expected 0 to 1, or "
                "value_range, the values of black and white"
            )
        said = f"Values from {low:g} to {high:g} were cut to value_range, {black:g} to {white:g}."
        notices = (Notice("range-cut", said),)
    return np.clip(pixels, 0, 1), _bits(depth), notices


def _divided(samples: np.ndarray, bits: int) -> np.ndarray:
    levels = 2.0**bits - 1
    if bits <= MOST:
        return samples.astype(np.float32) / np.float32(levels)
    return (samples.astype(np.float64) / levels).astype(np.float32)
