"""Decodes pixel data in a process of its own, for codecs that damaged data can bring down.

GDCM ends the process on some damaged JPEG; it is the only one here for lossless JPEG.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDS = 120
GDCM = "gdcm"
DESCRIBING = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def decode_apart(single: Dataset) -> np.ndarray:
    """Stored values (rows, columns) of a film of one encapsulated frame.

    Raises:
        ValueError: if it cannot be decoded, or the codec crashes or hangs.
    """
    from pydicom import dcmwrite

    file = io.BytesIO()
    dcmwrite(file, single)
    words = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(words, input=file.getvalue(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"the codec did not end within {SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(lines[-1] if lines and done.returncode > 0 else "the codec crashed")
    return np.load(io.BytesIO(done.stdout), allow_pickle=False)


def _decode() -> None:
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    film = dcmread(io.BytesIO(sys.stdin.buffer.read()), force=True)
    out = io.BytesIO()
    np.save(out, pixel_array(film, correct_unused_bits=False, decoding_plugin=GDCM))
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    _decode()
