"""What validation tells: PSNR, drift of the brightness, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from xraysr.data.batches import whole_films
from xraysr.data.pipeline import PairCache
from xraysr.evaluation.evaluate import lanczos
from xraysr.evaluation.metrics import psnr

BATCH = 4
EQUAL = 120.0  # dB, for SR that equals HR


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
        generator: Is called with batches of whole LR films; what it returns is clipped to [0, 1].
    """

    def __init__(self, films: Sequence[PairCache], generator: keras.Model) -> None:
        self._films = films
        self._graph = tf.function(
            lambda lr: tf.clip_by_value(tf.cast(generator(lr, training=False), tf.float32), 0, 1)
        )

    def run(self) -> Validation:
        """Scores the generator as it is now."""
        results = [self._run(films) for films in self._films]
        mean = float(np.mean([each.psnr for each in results]))
        return Validation(mean, max(each.drift for each in results), results[0].sample)

    def lanczos(self) -> float:
        """PSNR of Lanczos interpolation on the same films, in dB."""
        return float(np.mean([self._lanczos(films) for films in self._films]))

    def _lanczos(self, films: PairCache) -> float:
        return float(
            np.mean(
                [
                    _score(lanczos(lr[0], films.pair.hr), hr[0], films.pair.scale)
                    for lr, hr in _batches(films, 1)
                ]
            )
        )

    def _run(self, films: PairCache) -> Validation:
        scores, drifts, sample = [], [], None
        for lr, hr in _batches(films, BATCH):
            sr = self._graph(lr[..., None]).numpy()[..., 0]
            scores += [_score(*each, films.pair.scale) for each in zip(sr, hr, strict=True)]
            drifts += np.abs(sr.mean(axis=(1, 2)) - lr.mean(axis=(1, 2))).tolist()
            if sample is None:
                sample = np.concatenate([lanczos(lr[0], films.pair.hr), sr[0], hr[0]], axis=1)
        assert sample is not None
        return Validation(float(np.mean(scores)), max(drifts), sample.astype(np.float32))


def _batches(films: PairCache, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whole films, `count` at a time: LR and HR, float32 in [0, 1], (n, height, width)."""
    for lr, hr in whole_films(films, count):
        yield lr.numpy()[..., 0], hr.numpy()[..., 0]


def _score(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    return min(psnr(sr, hr, border), EQUAL)


def flattened(scores: list[float], patience: int = 5, least: float = 0.01) -> bool:
    """Whether the last `patience` validations did not raise the PSNR by `least` dB."""
    if len(scores) <= patience:
        return False
    return max(scores[-patience:]) < max(scores[:-patience]) + least
