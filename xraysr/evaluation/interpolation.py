"""The interpolations every score is compared with."""

from __future__ import annotations

import numpy as np
from PIL import Image

from xraysr.lanczos import resize
from xraysr.pair import Size


def bicubic(lr: np.ndarray, size: Size) -> np.ndarray:
    """Bicubic (Keys, a = -0.5) enlargement of `lr` (height, width), clipped to [0, 1]."""
    image = Image.fromarray(lr.astype(np.float32))
    return np.clip(np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)), 0, 1)


def lanczos(lr: np.ndarray, size: Size) -> np.ndarray:
    """Lanczos enlargement of `lr` (height, width), clipped to [0, 1]."""
    return np.clip(resize(lr, size), 0, 1)
