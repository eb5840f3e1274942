"""`open_generator`: a trained Keras generator, by path or by the name of a preset."""

from __future__ import annotations

import zipfile
from pathlib import Path

from xraysr.errors import UserError
from xraysr.models import SRNetwork
from xraysr.models.storage import load_generator, weights_sha256
from xraysr.presets.card import choices, names
from xraysr.presets.store import load_preset
from xraysr.spec import ModelSpec


def open_generator(target: str | Path) -> tuple[SRNetwork, ModelSpec]:
    """A trained generator and its card.

    Args:
        target: A `.keras` file, the folder of a training run, or, where there is no such path,
            the name of a preset.

    Raises:
        UserError: if there is none, it is broken, or the card is not the one of its weights.
    """
    path = Path(target)
    if not path.exists():
        if str(target) not in names():
            raise UserError(f"No model file at {path}, and no preset. {choices(str(target))}")
        return load_preset(str(target))
    if path.is_dir():
        unfinished = (path / "config.json").is_file() and not (path / "generator.keras").is_file()
        if unfinished:
            raise UserError(f"The run in {path} is not finished: go on with train --resume.")
        path = path / "generator.keras"
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model: it was truncated, or is something else.")
    generator, spec = load_generator(path), ModelSpec.load(path)
    if generator.scale != spec.scale:
        raise UserError(
            f"{path} does not fit its card: expected x{spec.scale}. Received: x{generator.scale}"
        )
    if weights_sha256(generator) != spec.weights_sha256:
        raise UserError(f"{path} does not hold the weights its card names: one was replaced.")
    return generator, spec
