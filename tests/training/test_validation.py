"""Validation against NumPy written out, and when its scores count as flat."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data.pipeline import PairCache
from xraysr.films.index import index_films
from xraysr.lanczos import resize
from xraysr.pair import Pair
from xraysr.training.validation import Validator, flattened


class _Offset:
    """Enlarges by repetition and adds 0.1 times the film's mean brightness."""

    def __call__(self, lr, training):
        offset = 0.1 * tf.reduce_mean(lr, axis=(1, 2, 3), keepdims=True)
        return tf.repeat(tf.repeat(lr, 4, axis=1), 4, axis=2) + offset


@pytest.fixture(scope="module")
def films(film_folder):
    return PairCache.load(index_films(film_folder).films[:6], Pair.parse("16:64"))


def test_psnr_and_drift_equal_their_numpy_twins(films):
    scores, drifts = [], []
    for lr, hr in zip(films.lr[..., 0] / 255, films.hr[..., 0] / 255, strict=True):
        sr = np.kron(lr, np.ones((4, 4))) + 0.1 * lr.mean()
        mse = np.mean((sr - hr)[4:-4, 4:-4] ** 2)
        scores.append(10 * np.log10(1 / mse))
        drifts.append(abs(sr.mean() - lr.mean()))
    result = Validator([films], _Offset()).run()
    assert result.psnr == pytest.approx(np.mean(scores), abs=1e-4)
    assert result.drift == pytest.approx(max(drifts), abs=1e-6)
    assert result.drift > 1.1 * min(drifts)  # the largest, not the mean


def test_lanczos_is_scored_on_the_same_films(films):
    def psnr(lr, hr):
        error = np.clip(resize(lr / 255, (64, 64)), 0, 1) - hr / 255
        return -10 * np.log10(np.mean(error[4:-4, 4:-4] ** 2))

    expected = [psnr(lr, hr) for lr, hr in zip(films.lr[..., 0], films.hr[..., 0], strict=True)]
    assert Validator([films], _Offset()).lanczos() == pytest.approx(np.mean(expected), abs=1e-4)


def test_each_pair_counts_alike_however_many_films_it_has(films, film_folder):
    large = PairCache.load(index_films(film_folder).films[:2], Pair.parse("8:32"))
    alone = [Validator([each], _Offset()).run() for each in (films, large)]
    both = Validator([films, large], _Offset()).run()
    assert both.psnr == pytest.approx(np.mean([each.psnr for each in alone]), abs=1e-9)
    assert both.drift == max(each.drift for each in alone)
    np.testing.assert_array_equal(both.sample, alone[0].sample)


def test_the_sample_shows_lr_sr_and_hr_side_by_side(films):
    sample = Validator([films], _Offset()).run().sample
    assert sample.shape == (64, 192)
    assert sample.dtype == np.float32
    np.testing.assert_allclose(sample[:, 128:], films.hr[0, ..., 0] / 255, atol=1e-6)
    lr = films.lr[0, ..., 0] / 255
    np.testing.assert_allclose(
        sample[:, 64:128], np.kron(lr, np.ones((4, 4))) + 0.1 * lr.mean(), atol=1e-6
    )
    repeated = np.kron(lr, np.ones((4, 4)))
    enlarged, hr = sample[:, :64], sample[:, 128:]
    assert np.mean((enlarged - hr) ** 2) < np.mean((repeated - hr) ** 2)


def test_sr_that_equals_hr_has_a_finite_score(films):
    """A blank film would else end a run as diverged; SR is clipped as in a file."""
    blank = replace(films, lr=np.full_like(films.lr, 255), hr=np.full_like(films.hr, 255))
    result = Validator([blank], _Offset()).run()
    assert result.psnr == 120.0
    assert result.sample.max() == 1.0


@pytest.mark.parametrize(
    ("scores", "flat"),
    [
        ([30.0] * 5, False),  # too few to tell
        ([30.0] * 6, True),
        ([30, 31, 32, 33, 34, 35, 36], False),
        ([30, 33, 33.001, 33.002, 33.003, 33.004, 33.005], True),
        ([30, 33, 33, 33, 33, 33, 33.02], False),  # one good rise is enough
        ([30, 33, 33, 33, 33, 33, 33.009], True),
        ([30, 33, 31, 31.5, 32, 32.5, 32.9], True),  # rises, but not above what it had
        ([28.0, 30, 31, 32, 33, 33, 33, 33, 33], False),  # the rise is 5 validations old
        ([28.0, 30, 31, 32, 33, 33, 33, 33, 33, 33], True),
    ],
)
def test_flattened_looks_at_the_last_five_scores(scores, flat):
    assert flattened(scores) is flat
