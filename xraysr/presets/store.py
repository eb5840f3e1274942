"""Weights of presets on disk: float16 in, the same generator bit for bit out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.models import GENERATORS, SRNetwork
from xraysr.models.float16_weights import halves, read_halves, write_halves
from xraysr.models.storage import weights_sha256
from xraysr.presets.card import REINSTALL, ModelCard, weights_path
from xraysr.spec import ModelSpec


def load_preset(name: str) -> tuple[SRNetwork, ModelSpec]:
    """A preset's generator, its float32 weights equal to the float16 ones shipped, and its card.

    Raises:
        UserError: if there is no such preset, or its files are damaged or of another version.
    """
    card, path = ModelCard.load(name), weights_path(name)
    generator = _build(card)
    weights = _read(path)
    expected = [tuple(weight.shape) for weight in generator.weights]
    if [weight.shape for weight in weights] != expected:
        raise UserError(
            f"{path} does not fit its card: expected {len(expected)} arrays, as in "
            f"{card.architecture}. Received: {len(weights)}, of other number or shape. {REINSTALL}"
        )
    generator.set_weights(weights)
    if weights_sha256(generator) != card.spec.weights_sha256:
        raise UserError(f"{path} does not hold the weights its card names. {REINSTALL}")
    return generator, card.spec


def round_weights(generator: SRNetwork) -> None:
    """Rounds all weights to what float16 holds, in place.

    Raises:
        UserError: if a weight is not finite in float16.
    """
    rounded = halves(generator.get_weights())
    generator.set_weights([weight.astype(np.float32) for weight in rounded])


def save_preset(generator: SRNetwork, card: ModelCard, folder: Path) -> None:
    """Writes weights and card below `folder`; the same weights give the same bytes.

    Args:
        generator: The generator, its weights rounded by `round_weights`.
        card: Its card.
        folder: The folder that holds the folders `weights` and `cards`.

    Raises:
        UserError: if the weights are not those the card names, or not finite in float16.
    """
    round_weights(generator)
    if weights_sha256(generator) != card.spec.weights_sha256:
        raise UserError(f"The card of {card.name} was made for other weights, or unrounded ones.")
    write_halves(folder / "weights" / f"{card.name}.npz", generator.get_weights())
    card.save(folder / "cards" / f"{card.name}.json")


def _build(card: ModelCard) -> SRNetwork:
    """The network of a card, untrained."""
    settings = dict(card.architecture)
    try:
        generator = GENERATORS[settings.pop("generator")](card.scale, **settings)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The card of {card.name} describes no network of this version: {error}. {REINSTALL}"
        ) from error
    generator.build((None, None, None, 1))
    return generator


def _read(path: Path) -> list[np.ndarray]:
    """The weights of a preset, or what to do without them."""
    try:
        return read_halves(path)
    except UserError as error:
        raise UserError(f"{error}. {REINSTALL}") from error
