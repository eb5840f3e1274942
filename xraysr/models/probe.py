"""Scale and receptive radius of a model that says neither, found by running it."""

from __future__ import annotations

import keras
import numpy as np

from xraysr.errors import UserError
from xraysr.pair import MAX_SCALE, MIN_SCALE

REACHES = (12, 32, 80)  # LR pixels on each side of the one that is changed
OFFSETS = ((0, 0), (1, 1), (2, 0), (0, 3))  # for a model with strides these may differ
CHANGES = (np.nan, 0.0, 1.0)
WHOLE_IMAGE = 1 << 16  # a radius that no tile covers: the image goes through in one piece


def probe_scale(model: keras.Model) -> int:
    """HR pixels per LR pixel of any model that enlarges radiographs.

    Raises:
        UserError: if it does not map (batch, height, width, 1) of any size to
            (batch, scale height, scale width, 1), scale an integer from 2 to 8.
    """
    shapes = []
    for size in ((16, 16), (24, 16)):
        shapes.append(_run(model, np.zeros((1, *size, 1), np.float32)).shape)
    scale = shapes[0][1] // 16 if len(shapes[0]) == 4 else 0
    expected = [(1, 16 * scale, 16 * scale, 1), (1, 24 * scale, 16 * scale, 1)]
    if shapes != expected or not MIN_SCALE <= scale <= MAX_SCALE:
        raise UserError(
            f"The model {model.name} must enlarge both sides by the same integer, {MIN_SCALE} to "
            f"{MAX_SCALE}, and give one channel. Received: (1, 16, 16, 1) becomes {shapes[0]}, "
            f"(1, 24, 16, 1) becomes {shapes[1]}"
        )
    return scale


def probe_radius(model: keras.Model, scale: int) -> int:
    """LR pixels around a pixel that can change its SR block, measured.

    One pixel of a noise image is set to NaN, which passes through every weight, zeros included,
    then to 0 and to 1, which pass where a comparison stops NaN; at several places, for models
    with strides. It is `WHOLE_IMAGE` where a change reaches 80 pixels or more.
    """
    for reach in REACHES:
        radius = _farthest(model, scale, reach)
        if radius < reach - 1:
            return radius
    return WHOLE_IMAGE


def _farthest(model: keras.Model, scale: int, reach: int) -> int:
    side = 2 * reach + 4
    before = np.random.default_rng(0).random((1, side, side, 1), dtype=np.float32)
    plain = _run(model, before)
    farthest = 0
    for row, column in OFFSETS:
        for value in CHANGES:
            image = before.copy()
            image[0, reach + row, reach + column] = value
            blocks = (_run(model, image) != plain).reshape(side, scale, side, scale)
            rows, columns = np.nonzero(blocks.any(axis=(1, 3)))
            distances = (np.abs(rows - reach - row), np.abs(columns - reach - column))
            farthest = max(farthest, *(int(each.max(initial=0)) for each in distances))
    return farthest


def _run(model: keras.Model, image: np.ndarray) -> np.ndarray:
    try:
        return keras.ops.convert_to_numpy(keras.ops.cast(model(image), "float32"))
    except Exception as error:  # Keras and its backends have no common base for what they raise.
        raise UserError(
            f"The model {model.name} must take images of any size, (batch, height, width, 1), such "
            f"as keras.Input((None, None, 1)) declares. Received for {image.shape}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
