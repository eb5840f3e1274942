from __future__ import annotations

import numpy as np
import pytest
from auc import auc, auc_interval

from xraysr.errors import UserError

# Hanley & McNeil, table I: how sure a reader was, 1 to 5, that a CT image was abnormal.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)


def films(count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores, classes and patients of films, each of its own patient."""
    positive = np.arange(count) % 2 == 0
    scores = np.random.default_rng(0).normal(size=count) + positive
    return scores, positive, [f"p{index}" for index in range(count)]


@pytest.fixture(scope="module")
def readings() -> tuple[np.ndarray, np.ndarray, list[str]]:
    scores = np.repeat([*range(1, 6), *range(1, 6)], [*NORMAL, *ABNORMAL]).astype(float)
    positive = np.arange(len(scores)) >= sum(NORMAL)
    return scores, positive, [str(index) for index in range(len(scores))]


def test_the_published_example(readings):
    scores, positive, patients = readings
    assert auc(scores, positive) == pytest.approx(0.893, abs=5e-4)
    interval = auc_interval(scores, positive, patients)
    assert interval.mean == auc(scores, positive)
    standard_error = (interval.high - interval.low) / (2 * 1.96)
    assert standard_error == pytest.approx(0.032, abs=0.004)


def test_it_is_the_area_under_the_curve():
    scores, positive, _ = films(200)
    thresholds = np.sort(scores)[::-1]
    hits = [(scores[positive] >= t).mean() for t in thresholds]
    alarms = [(scores[~positive] >= t).mean() for t in thresholds]
    area = np.trapezoid([0, *hits], [0, *alarms])
    assert 0.6 < area < 0.9
    assert auc(scores, positive) == pytest.approx(area)
    assert auc(-scores, positive) == pytest.approx(1 - area)
    assert auc(np.zeros(200), positive) == 0.5


def test_more_films_of_the_same_patients_narrow_nothing():
    scores, positive, patients = films(60)
    one = auc_interval(scores, positive, patients)
    again = [values.repeat(4) for values in (scores, positive)]
    same = auc_interval(*again, np.repeat(patients, 4).tolist())
    others = auc_interval(*again, [str(index) for index in range(240)])
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    assert others.high - others.low < 0.7 * (one.high - one.low)


def test_a_difference_is_taken_film_by_film():
    scores, positive, patients = films(100)
    assert auc_interval(scores, positive, patients, scores).high == 0.0
    duller = scores - 0.3 * positive
    worse = auc_interval(duller, positive, patients, scores)
    assert worse.mean == pytest.approx(auc(duller, positive) - auc(scores, positive))
    assert worse.low < worse.mean < worse.high < 0
    alone = auc_interval(duller, positive, patients)
    assert worse.high - worse.low < 0.5 * (alone.high - alone.low)


def test_draws_without_a_class_do_not_count():
    interval = auc_interval(np.arange(4.0), np.array([0, 0, 0, 1], bool), list("abcd"))
    assert (interval.low, interval.high) == (1.0, 1.0)


@pytest.mark.parametrize("value", [True, False])
def test_one_class_alone_is_refused(value):
    with pytest.raises(UserError, match=r"films of both classes. Received: (3|0) positive"):
        auc(np.arange(3.0), np.full(3, value))
