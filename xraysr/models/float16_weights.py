"""Weights on disk as float16, in an npz file that depends on nothing but the weights."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.files import whole_file

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold


def halves(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`weights` as little-endian float16.

    Raises:
        UserError: if a weight is not finite in float16.
    """
    with np.errstate(over="ignore"):
        rounded = [weight.astype("<f2") for weight in weights]
    if not all(np.isfinite(weight).all() for weight in rounded):
        raise UserError("The weights are not finite in float16; such a network cannot ship.")
    return rounded


def write_halves(path: Path, weights: Sequence[np.ndarray]) -> None:
    """Writes `weights` as float16 to `path` (.npz); the same weights give the same bytes.

    Raises:
        UserError: if a weight is not finite in float16, or `path` cannot be written.
    """
    rounded = halves(weights)
    with (
        whole_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for index, weight in enumerate(rounded):
            entry = zipfile.ZipInfo(f"{index:03d}.npy", EPOCH)
            entry.create_system = 3
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, weight, allow_pickle=False)


def read_halves(path: Path) -> list[np.ndarray]:
    """The weights at `path` as float32, in the order in which they were written.

    Raises:
        UserError: if the file is missing, damaged or holds anything but float16.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            weights = [archive[name] for name in archive.files]
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"The weights {path} are damaged: {error}") from error
    if any(weight.dtype != np.float16 for weight in weights):
        raise UserError(f"The weights {path} are not float16")
    return [weight.astype(np.float32) for weight in weights]
