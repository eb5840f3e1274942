"""Area under the ROC curve, with intervals over patients: how well scores tell two classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xraysr.errors import UserError
from xraysr.evaluation.report import RESAMPLES, Interval


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive film scores higher than a negative one; a tie counts half.

    Args:
        scores: Shape (n,), any range, higher for what looks positive.
        positive: bool, shape (n,), with at least one of each.

    Raises:
        UserError: if a class is missing.

    Reference:
        Hanley & McNeil, Radiology 143 (1982) 29-36
    """
    return float(_wins(scores, positive).mean())


def auc_interval(
    scores: np.ndarray,
    positive: np.ndarray,
    patients: Sequence[str],
    other: np.ndarray | None = None,
) -> Interval:
    """AUC with a 95 % percentile bootstrap over patients.

    Patients are drawn, not films; draws that lack a class are drawn again.

    Args:
        scores: Shape (n,).
        positive: bool, shape (n,), with at least one of each.
        patients: Whose each film is, n of them.
        other: Scores of the same films by another method; then the result is how much higher
            the AUC of `scores` is than that of `other`, from the same draws.

    Raises:
        UserError: if a class is missing.
    """
    wins = _wins(scores, positive)
    if other is not None:
        wins = wins - _wins(other, positive)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    counts = _draws(owner, positive)
    positives, negatives = counts[:, positive], counts[:, ~positive]
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    values = np.einsum("dp,pn,dn->d", positives, wins, negatives, optimize=True) / pairs
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(wins.mean()), float(low), float(high))


def _wins(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """1, 0.5 or 0 for every positive (row) against every negative (column)."""
    if positive.all() or not positive.any():
        raise UserError(
            "The AUC needs films of both classes. "
            f"Received: {positive.sum()} positive, {(~positive).sum()} negative"
        )
    difference = scores[positive][:, None] - scores[~positive][None, :]
    return 0.5 * (np.sign(difference) + 1.0)


def _draws(owner: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """How often each film comes in every one of the draws of patients: (draws, films)."""
    random, patients = np.random.default_rng(0), owner.max() + 1
    kept: list[np.ndarray] = []
    while len(kept) < RESAMPLES:
        drawn = random.integers(patients, size=patients)
        count = np.bincount(drawn, minlength=patients)[owner]
        if count[positive].any() and count[~positive].any():
            kept.append(count)
    return np.asarray(kept, np.float64)
