"""`Pair`: the sizes before and after super-resolution, from which everything else follows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xraysr.errors import UserError

Size = tuple[int, int]

MIN_SCALE, MAX_SCALE = 2, 8
PRESETS = ("32:128", "64:256", "128:512")


def _size_text(size: Size) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


@dataclass(frozen=True)
class Pair:
    """LR and HR size of one super-resolution task, as (height, width) in pixels.

    Args:
        lr: Size of the low-resolution image.
        hr: Size of the high-resolution image, `scale` times `lr` on both sides,
            with one integer scale from 2 to 8.

    Raises:
        UserError: if the sides do not divide, disagree, or the scale is out of range.

    Example:
        >>> Pair.parse("64:256").scale
        4
    """

    lr: Size
    hr: Size

    def __post_init__(self) -> None:
        for name, size in (("lr", self.lr), ("hr", self.hr)):
            whole = isinstance(size, tuple) and all(type(n) is int for n in size)
            if not whole or len(size) != 2 or min(size) < 1:
                raise UserError(
                    f"Pair {name} must be a tuple (height, width) in whole pixels. Received: {size}"
                )
        if any(h % low for low, h in zip(self.lr, self.hr, strict=True)):
            raise UserError(
                "Pair sizes do not divide: HR must be an integer multiple of LR on both sides. "
                f"Received: LR {_size_text(self.lr)}, HR {_size_text(self.hr)}"
            )
        rows, columns = (h // low for low, h in zip(self.lr, self.hr, strict=True))
        if rows != columns:
            raise UserError(
                "Pair sides disagree: one scale must hold for height and width. "
                f"Received: x{rows} in height and x{columns} in width "
                f"(LR {_size_text(self.lr)}, HR {_size_text(self.hr)})"
            )
        if not MIN_SCALE <= rows <= MAX_SCALE:
            raise UserError(
                f"Pair scale must be from {MIN_SCALE} to {MAX_SCALE}. Received: x{rows} "
                f"(LR {_size_text(self.lr)}, HR {_size_text(self.hr)})"
            )

    @classmethod
    def parse(cls, text: str | Pair) -> Pair:
        """Reads `"64:256"` or, for non-square images, `"48x64:192x256"` (height x width)."""
        if isinstance(text, Pair):
            return text
        match = re.fullmatch(r"\s*(\d+)(?:x(\d+))?\s*:\s*(\d+)(?:x(\d+))?\s*", str(text))
        if not match:
            raise UserError(
                f'A pair is written LR:HR, such as "64:256" or "48x64:192x256". Received: {text!r}'
            )
        lr_h, lr_w, hr_h, hr_w = match.groups()
        return cls((int(lr_h), int(lr_w or lr_h)), (int(hr_h), int(hr_w or hr_h)))

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel, the same in both directions."""
        return self.hr[0] // self.lr[0]

    @property
    def folder(self) -> str:
        """Name of the pair's folder on disk: `64x256`, or `48x64_192x256` when not square."""
        if self.lr[0] == self.lr[1]:
            return f"{self.lr[0]}x{self.hr[0]}"
        return f"{_size_text(self.lr)}_{_size_text(self.hr)}"

    def __str__(self) -> str:
        return f"{_size_text(self.lr)}:{_size_text(self.hr)}"


def prime_factors(scale: int) -> list[int]:
    """Prime factors of `scale` in ascending order: 6 gives [2, 3], 8 gives [2, 2, 2]."""
    factors, divisor = [], 2
    while scale > 1:
        while scale % divisor == 0:
            factors.append(divisor)
            scale //= divisor
        divisor += 1
    return factors
