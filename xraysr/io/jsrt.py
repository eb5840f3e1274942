"""The raw films of the JSRT database: 2048 x 2048 values of 12 bits, big-endian, and no header.

Nothing inside says what they are, so that the suffix .IMG and the size do. Their values are those
of a transparency that was scanned, bones low.

Reference:
    Shiraishi et al., "Development of a digital image database for chest radiographs with and
    without a lung nodule", AJR 174 (2000), 71-74
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.radiograph import Radiograph

SIDE, BITS = 2048, 12
SPACING = 0.175  # mm


def is_jsrt(path: Path) -> bool:
    """Whether the file at `path` has the suffix and the size of a film of JSRT."""
    return path.suffix.lower() == ".img" and path.stat().st_size == 2 * SIDE**2


def decode(data: bytes) -> Radiograph:
    """A film of JSRT; pixels float32 (2048, 2048) in [0, 1], bones bright.

    Raises:
        BadImageError: if a value has more than 12 bits.
    """
    stored = np.frombuffer(data, ">u2").reshape(SIDE, SIDE)
    highest = (1 << BITS) - 1
    if stored.max() > highest:
        raise BadImageError(f"holds the value {stored.max()}. Expected 0 to {highest}, as of JSRT")
    pixels = ((highest - stored) / np.float32(highest)).astype(np.float32)
    return Radiograph(pixels, BITS, (SPACING, SPACING))
