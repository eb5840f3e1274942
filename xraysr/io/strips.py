"""`StripWriter`: a film into its file strip by strip, from the top, as it comes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.io.radiograph import Radiograph

PIECE = 1 << 20  # pixels that are converted at once, since this is done in float64

Put = Callable[[np.ndarray], object]


@dataclass(frozen=True)
class Job:
    """What is to be written.

    Args:
        size: (height, width) of each film in pixels.
        like: The film it was made from, or the film itself; its provenance is the output's.
        frames: How many films go into the file.
    """

    size: tuple[int, int]
    like: Radiograph
    frames: int = 1


# Opens the file and yields what takes one strip; what remains to be written follows on exit.
Sink = Callable[[Path, Job], AbstractContextManager[Put]]


class StripWriter:
    """Takes the rows of a film from the top, and of a multi-frame file film after film.

    Args:
        path: The output, for messages.
        job: What is to be written.
        put: What writes one strip.
    """

    def __init__(self, path: Path, job: Job, put: Put) -> None:
        self._path = path
        self._width = job.size[1]
        self._rows = job.size[0] * job.frames
        self._done = 0
        self._put = put

    def write(self, rows: np.ndarray) -> None:
        """Appends `rows`, float32 of shape (n, width); what lies outside [0, 1] is clipped.

        Raises:
            UserError: if the disk is full, or pixels are not finite.
            ValueError: if the shape or dtype is another, or rows are too many.
        """
        if rows.ndim != 2 or rows.shape[1] != self._width or rows.dtype != np.float32:
            raise ValueError(
                f"rows must be float32 of shape (n, {self._width}). "
                f"Received: {rows.dtype} of shape {rows.shape}"
            )
        if self._done + len(rows) > self._rows:
            raise ValueError(f"{self._path} has {self._rows} rows, and more than these came")
        step = max(1, PIECE // self._width)
        for top in range(0, len(rows), step):
            piece = rows[top : top + step]
            if not np.isfinite(piece).all():
                raise UserError(f"Cannot write {self._path}: it would hold NaN or infinite pixels")
            try:
                self._put(np.clip(piece, 0.0, 1.0))
            except OSError as error:
                raise cannot_write(self._path, error) from error
        self._done += len(rows)

    def check_complete(self) -> None:
        """Raises `ValueError` when rows are missing."""
        if self._done < self._rows:
            raise ValueError(f"{self._path} has {self._rows} rows. Received: {self._done}")


def cannot_write(path: Path, error: OSError) -> UserError:
    """The user's words for an error of the disk."""
    return UserError(f"Cannot write {path}: {error.strerror or error}")


def integers(rows: np.ndarray, levels: int, dtype: type) -> np.ndarray:
    """`rows` in [0, 1] as whole numbers from 0 to `levels`."""
    # float64, so that 16-bit values round to themselves.
    return np.round(rows.astype(np.float64) * levels).astype(dtype)
