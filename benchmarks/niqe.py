"""NIQE, fitted to radiographs: how far an image's statistics are from those of sharp films."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xraysr.errors import UserError
from xraysr.lanczos import resize, round_to_bits

PATCH = 32
SCALES = (1, 2)
WINDOW_RADIUS, WINDOW_SIGMA = 3, 7 / 6
CONTRAST = 1 / 255
FEATURES = 18 * len(SCALES)
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, eq=False)
class NIQE:
    """The natural image quality evaluator, refitted on films of your own.

    No reference is needed: normalised pixels of patches at two scales, and products of
    neighbours, are described by (asymmetric) generalised Gaussians, and the score is the
    distance between the multivariate Gaussian of an image's patches and that of good films.

    It departs from the paper where films differ from photographs: patches are 32 x 32 instead of
    96 x 96, because HR may have 128 pixels a side, and the sharper half of the patches is taken
    both for fitting and for scoring, because a film has an empty background and its burnt-in
    letters are sharper than anything else. Scores compare images of the HR size it was fitted
    on, and are not those of the published model.

    Args:
        mean: float64, shape (36,): mean features of the films it was fitted on.
        covariance: float64, shape (36, 36).

    Example:
        >>> niqe = NIQE.fit(hr_images)
        >>> niqe.score(sr)

    Reference:
        Mittal, Soundararajan, Bovik, IEEE Signal Process. Lett. 20 (2013) 209-212
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(cls, images: Iterable[np.ndarray]) -> NIQE:
        """Learns what good films look like.

        Args:
            images: HR films of one size, (height, width), range [0, 1], 64 pixels a side or more.

        Raises:
            UserError: if the films have fewer than 72 usable patches together, or one is small.
        """
        features = [patch_features(image) for image in images]
        count = sum(map(len, features))
        if count < 2 * FEATURES:
            raise UserError(
                f"NIQE.fit needs {2 * FEATURES} patches with detail in all images together. "
                f"Received: {count} in {len(features)} images. Give it more films."
            )
        every = np.concatenate(features)
        return cls(every.mean(axis=0), np.cov(every, rowvar=False))

    def score(self, image: np.ndarray) -> float:
        """Distance of `image` from the films of the fit; 0 is best, higher is worse.

        Args:
            image: Shape (height, width), range [0, 1], of the HR size of the fit; it is rounded
                to 8 bits, as the films were.

        Raises:
            UserError: if it is too small or has no detail.
        """
        features = patch_features(image)
        if len(features) < 2:
            raise UserError("NIQE needs an image with detail. Received: one that is flat")
        difference = features.mean(axis=0) - self.mean
        covariance = 0.5 * (self.covariance + np.cov(features, rowvar=False))
        return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def patch_features(image: np.ndarray) -> np.ndarray:
    """Features of the sharper half of the patches of `image` (height, width) in [0, 1].

    Returns:
        float64, shape (patches, 36): 18 for each scale; patches without detail are left out.

    Raises:
        UserError: if the image is smaller than 64 pixels a side.
    """
    if image.ndim != 2 or min(image.shape) < 2 * PATCH:
        raise UserError(
            f"NIQE needs an image (height, width) of {2 * PATCH} pixels a side or more. "
            f"Received: shape {image.shape}"
        )
    rows, columns = (side // PATCH for side in image.shape)
    image = round_to_bits(image[: rows * PATCH, : columns * PATCH].astype(np.float64), 8)
    parts = []
    for scale in SCALES:
        size = (rows * PATCH // scale, columns * PATCH // scale)
        normalised, deviation = mscn(image if scale == 1 else resize(image, size))
        if scale == 1:
            sharpness = _patches(deviation, PATCH).mean(axis=(1, 2))
        parts.append(_describe(_patches(normalised, PATCH // scale)))
    features = np.concatenate(parts, axis=1)
    keep = (sharpness >= np.median(sharpness)) & np.isfinite(features).all(axis=1)
    return features[keep]


def mscn(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean-subtracted, contrast-normalised pixels of `image` in [0, 1], and the local deviation.

    A 7 x 7 Gaussian window of sigma 7/6; borders are repeated.
    """
    mean = _window_mean(image)
    deviation = np.sqrt(np.maximum(_window_mean(image**2) - mean**2, 0))
    return (image - mean) / (deviation + CONTRAST), deviation


def fit_aggd(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Asymmetric generalised Gaussians of zero mode, by matching moments.

    Args:
        samples: Shape (..., n).

    Returns:
        Shape alpha (1 Laplace, 2 Gauss), scales beta of the left and the right side, and the
        mean eta; each of shape (...), NaN where the samples have no spread on one side.

    Reference:
        Lasmar, Stitou, Berthoumieu, ICIP 2009
    """
    square = samples**2
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(_mean_where(square, samples < 0))
        right = np.sqrt(_mean_where(square, samples > 0))
        gamma = left / right
        ratio = np.mean(np.abs(samples), axis=-1) ** 2 / np.mean(square, axis=-1)
        ratio = ratio * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    shapes, ratios, spreads, means = _shape_table()
    alpha = np.interp(ratio, ratios, shapes)
    spread = np.interp(alpha, shapes, spreads)
    beta_left, beta_right = left * spread, right * spread
    return alpha, beta_left, beta_right, (beta_right - beta_left) * np.interp(alpha, shapes, means)


@lru_cache(maxsize=1)
def _shape_table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For every shape: E|x|^2 / E[x^2], beta over deviation, mean over difference of betas."""
    shapes = np.arange(0.2, 10, 0.001)
    one, two, three = (np.array([math.gamma(k / a) for a in shapes]) for k in (1, 2, 3))
    return shapes, two**2 / (one * three), np.sqrt(one / three), two / one


def _describe(patches: np.ndarray) -> np.ndarray:
    """18 features of each patch (n, side, side) of normalised pixels."""
    alpha, left, right, _ = fit_aggd(patches.reshape(len(patches), -1))
    features = [alpha, 0.5 * (left + right)]
    side = patches.shape[1]
    for down, across in NEIGHBOURS:
        first = patches[:, : side - down, max(0, -across) : side - max(0, across)]
        second = patches[:, down:, max(0, across) : side + min(0, across)]
        alpha, left, right, eta = fit_aggd((first * second).reshape(len(patches), -1))
        features += [alpha, eta, left, right]
    return np.stack(features, axis=1)


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.sum(values * where, axis=-1) / np.sum(where, axis=-1)


def _patches(image: np.ndarray, side: int) -> np.ndarray:
    """`image` cut into (patches, side, side); its sides are multiples of `side`."""
    rows, columns = (size // side for size in image.shape)
    cut = image.reshape(rows, side, columns, side).swapaxes(1, 2)
    return cut.reshape(rows * columns, side, side)


def _window_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian mean around every pixel."""
    weights = np.exp(-0.5 * (np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1) / WINDOW_SIGMA) ** 2)
    weights /= weights.sum()
    for _ in range(2):
        padded = np.pad(image, ((WINDOW_RADIUS, WINDOW_RADIUS), (0, 0)), mode="edge")
        image = sum(w * padded[i : i + len(image)] for i, w in enumerate(weights)).T
    return image
