"""What a reader should know of a result, though it is no error."""

from __future__ import annotations

from xraysr.io import Notice, Radiograph
from xraysr.spec import ModelSpec
from xraysr.upscale.upscaler import Upscaler

FAR_BELOW = 15.0  # dB of LR-consistency below what a model reaches on its own films
LEAST = 30.0  # dB, for a model whose card does not say what it reaches


def levels_notice(upscaler: Upscaler, film: Radiograph) -> Notice | None:
    """That a model has fewer grey levels than the film."""
    levels = upscaler.levels
    if levels is None or 1 << film.bits <= levels:
        return None
    return Notice(
        "int8-levels",
        f"{upscaler.spec.name} is whole in int8 and tells {levels} grey levels apart, of which "
        f"the film has {1 << film.bits}: export it with int8 weights only (dynamic), or in float",
    )


def consistency_notice(spec: ModelSpec, decibels: float) -> Notice | None:
    """That SR contradicts the film far more than this model's results do."""
    usual = _usual_consistency(spec)
    least = LEAST if usual is None else usual - FAR_BELOW
    if decibels >= least:
        return None
    reached = "" if usual is None else f", where {usual:.0f} dB are usual for {spec.name}"
    return Notice(
        "lr-consistency",
        f"reduced again, SR agrees with the film to {decibels:.1f} dB only{reached}: the film may "
        "be read wrongly, or be unlike those of the training",
    )


def _usual_consistency(spec: ModelSpec) -> float | None:
    """The lowest mean in dB that the card gives, over data sets and pairs."""
    found = [
        scores["lr_consistency"]
        for pairs in spec.scores.values()
        if isinstance(pairs, dict)
        for scores in pairs.values()
        if isinstance(scores, dict) and isinstance(scores.get("lr_consistency"), int | float)
    ]
    return min(found, default=None)
