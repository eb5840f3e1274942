"""How different two radiographs look: the distance of what a network trained on films sees."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import keras
import numpy as np

from xraysr.errors import UserError
from xraysr.evaluation.metrics import crop_border
from xraysr.models.radiograph_features import RadiographFeatures, map_difference

SMALLEST_SIDE = 16


@lru_cache(maxsize=1)
def shipped_extractor() -> RadiographFeatures:
    """The extractor that comes with the package, loaded once."""
    return RadiographFeatures.shipped()


def feature_distance(image: np.ndarray, reference: np.ndarray, border: int = 0) -> float:
    """Feature distance of `image` to `reference`: LPIPS with equal weights, on radiographs.

    The channels of every position of four feature maps are divided by their root mean square;
    the distance is the squared difference, averaged over channels, positions and maps. Loss of
    detail, added noise and false edges all raise it. It depends on the pixel grid: compare
    distances of one HR size only.

    Args:
        image: Shape (height, width), range [0, 1], at least 16 pixels a side without the border.
        reference: The same shape and range.
        border: Pixels left out on each side; the scale, by convention.

    Returns:
        0 for equal images, at most 2; about 0.3 for bicubic enlargement x4 of a chest film.

    Raises:
        UserError: if the images differ in shape or are too small.

    Reference:
        [Zhang et al., 2018](https://arxiv.org/abs/1801.03924)
    """
    pair = [crop_border(each, border).astype(np.float32) for each in (image, reference)]
    if pair[0].shape != pair[1].shape or min(pair[0].shape) < SMALLEST_SIDE:
        raise UserError(
            "The feature distance needs two images of one shape, 16 pixels a side or more without "
            f"the border. Received: {pair[0].shape} and {pair[1].shape}"
        )
    maps = (shipped_extractor()(each[None, ..., None]) for each in pair)
    return float(map_difference(*maps)[0])


@keras.saving.register_keras_serializable("xraysr")
class RadiographFeatureDistance(keras.metrics.Mean):
    """Mean `feature_distance` over images, as a Keras metric.

    Example:
        >>> metric = RadiographFeatureDistance()
        >>> metric.update_state(hr, sr)
        >>> metric.result()

    Input shape: (batch, height, width, 1), float32 in [0, 1], 16 pixels or more a side.
    """

    def __init__(self, name: str = "feature_distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._extractor = shipped_extractor()

    def update_state(self, y_true, y_pred, sample_weight=None):
        distances = map_difference(self._extractor(y_pred), self._extractor(y_true))
        return super().update_state(distances, sample_weight)
