"""Pixels in [0, 1] back to the stored values of a DICOM header, so that its windows still fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xraysr.io.dicom import padding_range
from xraysr.io.modality import Modality, modality_of, rescale_of

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class Storage:
    """How the pixels of a film become the stored values of one made from it.

    Args:
        modality: Of the header that the film came with: [0, 1] to modality values.
        slope: Of the rescaling in the header that is written.
        intercept: Likewise.
        first: The least stored value.
        last: The largest.
        dtype: Of stored values, little endian.
        padding: The least and the largest value that counts as padding, where there is one.
        fill: The value that is written where padding is.
    """

    modality: Modality
    slope: float
    intercept: float
    first: int
    last: int
    dtype: np.dtype
    padding: tuple[int, int] | None
    fill: int

    def integers(self, rows: np.ndarray, padded: np.ndarray | None = None) -> np.ndarray:
        """Stored values, the nearest to `rows` in [0, 1]; `fill` where `padded`.

        Only there: elsewhere, a value that would count as padding becomes the nearest that does
        not.
        """
        exact = (self.modality.values(rows) - self.intercept) / self.slope
        values = np.clip(np.rint(exact), self.first, self.last).astype(np.int64)
        if self.padding is not None:
            values = self._beside(values, *self.padding)
        if padded is not None:
            values[padded] = self.fill
        return values.astype(self.dtype)

    def _beside(self, values: np.ndarray, low: int, high: int) -> np.ndarray:
        below, above = low - 1, high + 1
        nearest = np.where(values - below < above - values, below, above)
        if below < self.first or above > self.last:
            nearest = np.full_like(values, above if below < self.first else below)
        inside = (values >= low) & (values <= high)
        return np.where(inside, nearest, values)


def storage_of(source: Dataset, target: Dataset) -> Storage:
    """The way from a film with the header `source` into a file with the header `target`.

    Raises:
        BadImageError: if a header contradicts itself.
    """
    slope, intercept = rescale_of(target)
    signed, bits = target.PixelRepresentation == 1, target.BitsStored
    first = -(1 << (bits - 1)) if signed else 0
    last = first + (1 << bits) - 1
    padding = padding_range(target)
    if padding is not None and padding[0] <= first and padding[1] >= last:
        padding = None
    return Storage(
        modality_of(source),
        slope,
        intercept,
        first,
        last,
        np.dtype(f"<{'i' if signed else 'u'}{target.BitsAllocated // 8}"),
        padding,
        target.get("PixelPaddingValue") or 0,
    )
