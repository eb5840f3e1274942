"""What a reader should know of a result, though it is no error."""

from __future__ import annotations

from functools import cache

import numpy as np

from xraysr.io import Notice, Radiograph
from xraysr.presets.card import ModelCard, names
from xraysr.spec import ModelSpec
from xraysr.upscale.gate import judge
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


def consistency_notice(spec: ModelSpec, film: Radiograph, decibels: float) -> Notice | None:
    """That SR contradicts the film far more than this model's results do.

    A robust model takes noise away, so that its SR agrees with a film no better than to that.
    """
    usual = _usual_consistency(spec)
    if usual is not None and _is_robust(spec) and decibels < usual - FAR_BELOW:
        usual = min(usual, float(-20 * np.log10(max(noise_level(film.pixels), 1e-6))))
    least = LEAST if usual is None else usual - FAR_BELOW
    if decibels >= least:
        return None
    reached = "" if usual is None else f", where {usual:.0f} dB are usual for {spec.name}"
    return Notice(
        "lr-consistency",
        f"reduced again, SR agrees with the film to {decibels:.1f} dB only{reached}: the film may "
        "be read wrongly, or be unlike those of the training",
    )


def unlike_training(spec: ModelSpec, pixels: np.ndarray) -> list[Notice]:
    """In what a film is not what a preset learned, with the figure and the preset that would do.

    Args:
        spec: The card of the model. Models that are no preset learned from films that are not
            known here: nothing is said of them.
        pixels: float32 in [0, 1], shape (height, width).
    """
    preset = preset_of(spec)
    judgement = judge(pixels) if preset else None
    if preset is None or judgement is None:
        return []
    found = []
    for each in judgement.findings:
        if not each.degraded:
            found.append(Notice(each.code, each.text + each.advice))
        elif not _is_robust(spec):
            said = f"{each.text}, and {preset} learned from clean films: {_better_than(preset)}"
            found.append(Notice(each.code, said))
    return found


def _is_robust(spec: ModelSpec) -> bool:
    """Whether it learned from films with noise, blur and JPEG."""
    return spec.degradation.startswith("robust")


def _better_than(preset: str) -> str:
    """The preset that does for such films what this one does for clean ones."""
    family, _, scale = preset.rpartition("-")
    name = "robust-edge" if family == "edge" else "robust"
    if f"{name}-{scale}" in names():
        return f"take {name}-{scale}"
    return f"for such films there is {name}-x4, at x4"


def preset_of(spec: ModelSpec) -> str | None:
    """The name of the preset whose weights a model has, in whatever format; None if of none."""
    return _weights_of(tuple(names())).get(spec.weights_sha256)


@cache
def _weights_of(presets: tuple[str, ...]) -> dict[str, str]:
    return {ModelCard.load(name).spec.weights_sha256: name for name in presets}


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
        "faithful off. With noise of 1 % it cost 0.2 to 0.5 dB, with 2 % 0.3 to 2 dB",
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
