"""What a reader should know of a result, though it is no error."""

from __future__ import annotations

from xraysr.io import Notice, Radiograph
from xraysr.spec import ModelSpec
from xraysr.upscale.noise import noise_level
from xraysr.upscale.upscaler import Upscaler

FAR_BELOW = 15.0  # dB of LR-consistency below what a model reaches on its own films
LEAST = 30.0  # dB, for a model whose card does not say what it reaches
NOISY = 0.007  # noise from which being faithful costs every model more than it gives


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


def noise_notice(upscaler: Upscaler, film: Radiograph) -> Notice | None:
    """That SR, being faithful to a film with noise, has that noise too.

    What it costs is measured by benchmarks/faithful.py. To bring SR only so near to the film as
    its noise allows is no remedy: there plain SR is already.
    """
    if "faithful" not in upscaler.words and not upscaler.spec.export.get("faithful"):
        return None
    noise = noise_level(film.pixels)
    if noise < NOISY:
        return None
    return Notice(
        "faithful-noise",
        f"the film has noise of about {100 * noise:.1f} %, to which SR is faithful too: leave "
        "faithful off. With noise of 1 % it cost 0.2 to 0.5 dB, with 2 % up to 2.1 dB",
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
