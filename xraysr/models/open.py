"""`open_model`: from a name, a path or a Keras model to a trained generator and its card."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from xraysr.errors import UserError
from xraysr.files import whole_file
from xraysr.models.edge import EdgeGenerator
from xraysr.models.network import SRNetwork, StackedNetwork
from xraysr.models.probe import probe_radius, probe_scale
from xraysr.models.srresnet import SRResNet
from xraysr.models.weights import load_weights, round_weights, save_weights, weights_sha256
from xraysr.presets.card import REINSTALL, ModelCard, choices, names, weights_path
from xraysr.spec import ModelSpec

GENERATORS: dict[str, type[StackedNetwork]] = {"srresnet": SRResNet, "edge": EdgeGenerator}
UNKNOWN = "unknown: the model came without a card"


def open_model(target: str | Path | keras.Model) -> tuple[keras.Model, ModelSpec]:
    """A trained generator and its card.

    A model that comes without a card, because `model.save` wrote it or because it is an object
    in memory, gets one: scale and receptive radius are those it states (`SRNetwork`) or those
    measured by running it on small images, and the card says so under `training`.

    Args:
        target: A `.keras` file of ours or of any Keras model that maps (batch, height, width, 1),
            float32 in [0, 1], to the same `scale` times as large; the folder of a training run;
            such a model itself, or an `SRGAN`, which stands for its generator; or, where there
            is no such path, the name of a preset.

    Raises:
        UserError: if there is none, it is broken, or the card is not the one of its weights.
    """
    if isinstance(target, keras.Model):
        model = _generator_of(target)
        return model, describe(model, model.name)
    if not isinstance(target, str | Path):
        raise UserError(
            "A model is a path, the name of a preset or a keras.Model. "
            f"Received: {type(target).__name__}"
        )
    path = Path(target)
    if not path.exists():
        if str(target) not in names():
            raise UserError(f"No model file at {path}, and no preset. {choices(str(target))}")
        return load_preset(str(target))
    if path.is_dir():
        run, path = path, path / "generator.keras"
        if (run / "config.json").is_file() and not path.is_file():
            raise UserError(f"The run in {run} is not finished: resume its training.")
    model = load_generator(path)
    if not ModelSpec.path_for(path).exists():
        return model, describe(model, path.stem)
    spec = ModelSpec.load(path)
    if isinstance(model, SRNetwork) and model.scale != spec.scale:
        raise UserError(
            f"{path} does not fit its card: expected x{spec.scale}. Received: x{model.scale}"
        )
    if weights_sha256(model) != spec.weights_sha256:
        raise UserError(f"{path} does not hold the weights its card names: one was replaced.")
    return model, spec


def describe(
    model: keras.Model,
    name: str,
    training: dict[str, Any] | None = None,
    degradation: str = UNKNOWN,
) -> ModelSpec:
    """The card of a model; what the model does not state is measured, and the card says so.

    Args:
        model: A generator of ours, or any Keras model that enlarges.
        name: Its name.
        training: What is known of its training.
        degradation: How the LR images of its training were made.

    Raises:
        UserError: if the model does not enlarge images of any size by an integer from 2 to 8.
    """
    if isinstance(model, SRNetwork):
        if not model.built:
            model.build((None, None, None, 1))
        scale, radius, measured = model.scale, model.receptive_radius, {}
    else:
        scale = probe_scale(model)
        radius = probe_radius(model, scale)
        measured = {"measured": "scale and receptive radius, by running the model"}
    return ModelSpec(
        name=name,
        scale=scale,
        receptive_radius=radius,
        weights_sha256=weights_sha256(model),
        degradation=degradation,
        training={**(training or {}), **measured},
    )


def save_generator(
    generator: keras.Model,
    path: Path,
    training: dict[str, Any] | None = None,
    degradation: str = ModelSpec.degradation,
) -> ModelSpec:
    """Writes `generator` to `path` (`.keras`) and its card beside it; returns the card."""
    path = Path(path)
    if path.suffix != ".keras":
        raise UserError(f"A Keras model file ends in .keras. Received: {path}")
    spec = describe(generator, path.stem, training, degradation)  # builds it, or no weights
    with whole_file(path) as temporary:
        generator.save(temporary)
    spec.save(path)
    return spec


def load_generator(path: Path) -> keras.Model:
    """Reads the generator in a `.keras` file, without its card.

    Raises:
        UserError: if there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No model file at {path}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model: it was truncated, or is something else.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras lets zip, h5 and deserialisation errors through.
        raise UserError(f"{path} is not a Keras model that can be read: {error}") from error
    return _generator_of(model)


def load_preset(name: str) -> tuple[SRNetwork, ModelSpec]:
    """A preset's generator, its float32 weights equal to the float16 ones shipped, and its card.

    Raises:
        UserError: if there is no such preset, or its files are damaged or of another version.
    """
    card, path = ModelCard.load(name), weights_path(name)
    generator = _build(card)
    try:
        load_weights(generator, path)
    except UserError as error:
        raise UserError(f"{error}. {REINSTALL}") from error
    if weights_sha256(generator) != card.spec.weights_sha256:
        raise UserError(f"{path} does not hold the weights its card names. {REINSTALL}")
    return generator, card.spec


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
    save_weights(generator, folder / "weights" / f"{card.name}.safetensors")
    card.save(folder / "cards" / f"{card.name}.json")


def _generator_of(model: keras.Model) -> keras.Model:
    """The model itself, or the trained generator of an SRGAN."""
    if isinstance(model, SRNetwork):
        return model
    parts = (getattr(model, name, None) for name in ("averaged", "generator"))
    return next((part for part in parts if isinstance(part, keras.Model)), model)


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
