"""What validation tells: PSNR, drift of the brightness, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xraysr.data.batches import whole_films
from xraysr.data.pipeline import PairCache
from xraysr.lanczos import resize
from xraysr.models import SRNetwork
from xraysr.pair import Size

BATCH = 4


@dataclass(frozen=True)
class Validation:
    """Scores on whole validation films.

    Args:
        psnr: Mean in dB over the films, then over the pairs; a border of `scale` pixels cropped.
        drift: Largest difference of mean brightness between SR and LR of one film, of [0, 1].
        sample: The first film: LR enlarged by Lanczos, SR and HR side by side, in [0, 1].
    """

    psnr: float
    drift: float
    sample: np.ndarray


class Validator:
    """Scores a generator on the same films again and again.

    Args:
        films: The validation films, for each pair.
        generator: Is called with batches of whole LR films.
    """

    def __init__(self, films: Sequence[PairCache], generator: SRNetwork) -> None:
        self._films = films
        self._graph = tf.function(generator.call)

    def run(self) -> Validation:
        """Scores the generator as it is now."""
        results = [self._run(films) for films in self._films]
        psnr = float(np.mean([each.psnr for each in results]))
        return Validation(psnr, max(each.drift for each in results), results[0].sample)

    def lanczos(self) -> float:
        """PSNR of Lanczos interpolation on the same films, in dB."""
        return float(np.mean([self._lanczos(films) for films in self._films]))

    def _lanczos(self, films: PairCache) -> float:
        enlarged = (
            (_interpolated(lr.numpy(), films.pair.hr)[None, ..., None], hr)
            for lr, hr in whole_films(films, 1)
        )
        return float(np.mean([_psnr(sr, hr.numpy(), films.pair.scale) for sr, hr in enlarged]))

    def _run(self, films: PairCache) -> Validation:
        scores, drifts, sample = [], [], None
        for lr_batch, hr_batch in whole_films(films, BATCH):
            sr, lr, hr = self._graph(lr_batch).numpy(), lr_batch.numpy(), hr_batch.numpy()
            scores += _psnr(sr, hr, films.pair.scale).tolist()
            drifts += np.abs(sr.mean(axis=(1, 2, 3)) - lr.mean(axis=(1, 2, 3))).tolist()
            if sample is None:
                enlarged = _interpolated(lr, films.pair.hr)
                sample = np.concatenate([enlarged, sr[0, ..., 0], hr[0, ..., 0]], axis=1)
        assert sample is not None
        return Validation(float(np.mean(scores)), max(drifts), sample.astype(np.float32))


def _interpolated(lr: np.ndarray, size: Size) -> np.ndarray:
    """The first image of a batch enlarged by Lanczos, clipped: (*size), in [0, 1]."""
    return np.clip(resize(lr[0, ..., 0], size), 0, 1)


def _psnr(sr: np.ndarray, hr: np.ndarray, border: int) -> np.ndarray:
    """PSNR of each image in dB, `border` pixels cropped."""
    error = (sr - hr)[:, border:-border, border:-border].astype(np.float64)
    return -10 * np.log10(np.mean(error**2, axis=(1, 2, 3)) + 1e-12)


def flattened(scores: list[float], patience: int = 5, least: float = 0.01) -> bool:
    """Whether the last `patience` validations did not raise the PSNR by `least` dB."""
    if len(scores) <= patience:
        return False
    return max(scores[-patience:]) < max(scores[:-patience]) + least
