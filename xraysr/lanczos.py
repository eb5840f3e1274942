"""Lanczos resampling as a matrix: the one definition of the degradation, in NumPy.

`tf.image.resize(method="lanczos3", antialias=True)` and Pillow's LANCZOS on float images compute
the same weights, so the pipeline, the network's skip connection and the scores all agree.

Reference: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorol. 18 (1979).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RADIUS = 3
REACH = 21  # LR pixels beyond which the pseudo-inverse carries under 1e-4 of a grey level of 8 bits


def lanczos_kernel(x: np.ndarray) -> np.ndarray:
    """The Lanczos window of radius 3: `sinc(x) sinc(x / 3)` for |x| < 3, else 0."""
    return np.where(np.abs(x) < RADIUS, np.sinc(x) * np.sinc(x / RADIUS), 0.0)


@lru_cache(maxsize=64)
def lanczos_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Matrix M of shape (size_out, size_in), float64, such that `M @ signal` resamples it.

    Reducing widens the kernel by the scale (antialiasing); rows sum to 1, also at the borders.
    An image `x` of shape (h, w) becomes `M_rows @ x @ M_columns.T`. The array is shared between
    calls and read-only.
    """
    ratio = size_in / size_out
    centres = (np.arange(size_out) + 0.5) * ratio
    positions = np.arange(size_in) + 0.5
    weights = lanczos_kernel((positions[None, :] - centres[:, None]) / max(ratio, 1.0))
    weights /= weights.sum(axis=1, keepdims=True)
    weights.setflags(write=False)
    return weights


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples the last two axes of `image` (..., h, w) to `size`; float64, not clipped."""
    rows = lanczos_matrix(image.shape[-2], size[0])
    columns = lanczos_matrix(image.shape[-1], size[1])
    return rows @ image.astype(np.float64) @ columns.T


def round_to_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """Clips to [0, 1] and rounds to the grey levels a file of `bits` bits can hold."""
    levels = (1 << bits) - 1
    return np.round(np.clip(image, 0.0, 1.0) * levels) / levels


def degrade(hr: np.ndarray, lr_size: tuple[int, int], bits: int) -> np.ndarray:
    """The LR twin of `hr` (h, w) in [0, 1]: Lanczos with antialias, clipped, rounded to `bits`."""
    return round_to_bits(resize(hr, lr_size), bits)


class Reduction:
    """The reduction of an image by an integer scale, and its pseudo-inverse.

    Reducing an image x of HR size is `A @ x @ B.T` with two matrices of `lanczos_matrix`. They
    are banded, and so is `A @ A.T`, which is solved block by block: time and memory grow with
    the image, not with its square, and nothing is cut off. Results have the image's float dtype.

    Args:
        size: LR size, (height, width).
        scale: HR pixels per LR pixel.

    Example:
        >>> reduction = Reduction((64, 48), 4)
        >>> lr = reduction.reduce(hr)       # resize(hr, (64, 48))
        >>> smooth = reduction.lift(lr)     # (256, 192), and reduction.reduce(smooth) is lr

    Reference:
        Golub & Van Loan, Matrix Computations (2013), sections 4.5 (block tridiagonal systems) and
        5.5 (pseudo-inverse)
    """

    def __init__(self, size: tuple[int, int], scale: int) -> None:
        self._rows, self._columns = (_side(length, scale) for length in size)

    def reduce(self, hr: np.ndarray) -> np.ndarray:
        """`A @ hr @ B.T` on the last two axes: (..., scale h, scale w) to (..., h, w)."""
        return self._columns.reduce(self._rows.reduce(hr).mT).mT

    def gather(self, rows: np.ndarray, first: int, lr: np.ndarray) -> None:
        """Adds to `lr` (h, w) what the HR rows (n, scale w) from `first` on bring to `reduce`."""
        self._rows.gather(self._columns.reduce(rows.mT).mT, first, lr)

    def lift(self, lr: np.ndarray) -> np.ndarray:
        """`A+ @ lr @ (B+).T`, the image of least energy that reduces to `lr` (..., h, w)."""
        lr = self._columns.solve(self._rows.solve(lr).mT).mT
        return self._rows.spread(self._columns.spread(lr.mT).mT)

    def enlarge(self, lr: np.ndarray) -> np.ndarray:
        """Lanczos interpolation: `resize(lr, hr_size)`."""
        return self._rows.enlarge(self._columns.enlarge(lr.mT).mT)

    def added(self, sr: np.ndarray) -> np.ndarray:
        """What `sr` (..., scale h, scale w) has that neither its reduction nor interpolation says.

        With y the reduction of `sr` and L y its interpolation, `(I - A+ A) (sr - L y)`: it reduces
        to 0. Far from the border it is `sr - A+ A sr` but for a ripple of A+. At the border the
        image of least energy falls to black, and all of the film's brightness would be detail.
        """
        detail = sr - self.enlarge(self.reduce(sr))
        detail -= self.lift(self.reduce(detail))
        return detail


BLOCK = 16  # LR pixels; more than the five that share HR pixels with a neighbour


class _Side:
    """A reduction along one axis, the last but one: the matrix A in blocks of rows."""

    def __init__(self, length: int, scale: int) -> None:
        self._rows = [slice(n, min(n + BLOCK, length)) for n in range(0, length, BLOCK)]
        self._reach = [
            slice(scale * max(0, rows.start - RADIUS), scale * min(length, rows.stop + RADIUS))
            for rows in self._rows
        ]
        self._length, self._scale = length, scale
        kernels = [self._kernel(*each) for each in zip(self._rows, self._reach, strict=True)]
        self._sums = np.concatenate([each.sum(axis=1, keepdims=True) for each in kernels])
        self._blocks = [each / each.sum(axis=1, keepdims=True) for each in kernels]
        self._covered = self.spread(self._sums)
        self._inverse, self._below = self._factors()

    def _kernel(self, rows: slice, reach: slice) -> np.ndarray:
        centres = (np.arange(rows.start, rows.stop) + 0.5) * self._scale
        positions = np.arange(reach.start, reach.stop) + 0.5
        return lanczos_kernel((positions[None, :] - centres[:, None]) / self._scale)

    def _factors(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Of `A @ A.T = L @ D @ L.T`: the inverse blocks of D, and those below the diagonal of L.

        Below the first block there is one for each that follows.
        """
        inverse: list[np.ndarray] = []
        below: list[np.ndarray] = []
        for index, block in enumerate(self._blocks):
            pivot = block @ block.T
            if index:
                both = slice(self._reach[index].start, self._reach[index - 1].stop)
                coupling = self._cut(index, both) @ self._cut(index - 1, both).T
                below.append(coupling @ inverse[-1])
                pivot -= below[-1] @ coupling.T
            inverse.append(np.linalg.inv(pivot))
        return inverse, below

    def _cut(self, index: int, columns: slice) -> np.ndarray:
        first = self._reach[index].start
        return self._blocks[index][:, columns.start - first : columns.stop - first]

    def reduce(self, image: np.ndarray) -> np.ndarray:
        """`A @ image`."""
        out = _empty_like(image, self._length)
        for rows, reach, block in zip(self._rows, self._reach, self._blocks, strict=True):
            out[..., rows, :] = block.astype(out.dtype) @ image[..., reach, :]
        return out

    def gather(self, rows: np.ndarray, first: int, out: np.ndarray) -> None:
        """Adds `A[:, first : first + len(rows)] @ rows` to `out`."""
        for target, reach, block in zip(self._rows, self._reach, self._blocks, strict=True):
            begin, end = max(first, reach.start), min(first + len(rows), reach.stop)
            if begin < end:
                part = block[:, begin - reach.start : end - reach.start]
                out[target] += part.astype(out.dtype) @ rows[begin - first : end - first]

    def spread(self, image: np.ndarray) -> np.ndarray:
        """`A.T @ image`."""
        out = _empty_like(image, self._length * self._scale)
        out[...] = 0.0
        for rows, reach, block in zip(self._rows, self._reach, self._blocks, strict=True):
            out[..., reach, :] += block.T.astype(out.dtype) @ image[..., rows, :]
        return out

    def enlarge(self, image: np.ndarray) -> np.ndarray:
        """`lanczos_matrix(length, scale * length) @ image`: A.T with other sums to divide by."""
        out = self.spread(image * self._sums.astype(image.dtype))
        out /= self._covered.astype(image.dtype)
        return out

    def solve(self, image: np.ndarray) -> np.ndarray:
        """`(A @ A.T)^-1 @ image`."""
        out = np.array(image, np.float64)
        for rows, above, factor in zip(self._rows[1:], self._rows, self._below, strict=False):
            out[..., rows, :] -= factor @ out[..., above, :]
        for index in reversed(range(len(self._rows))):
            rows = self._rows[index]
            out[..., rows, :] = self._inverse[index] @ out[..., rows, :]
            if index + 1 < len(self._rows):
                out[..., rows, :] -= self._below[index].T @ out[..., self._rows[index + 1], :]
        return out.astype(image.dtype, copy=False)


def _empty_like(image: np.ndarray, length: int) -> np.ndarray:
    shape = (*image.shape[:-2], length, image.shape[-1])
    return np.empty(shape, np.result_type(image, np.float32))


@lru_cache(maxsize=16)
def _side(length: int, scale: int) -> _Side:
    return _Side(length, scale)
