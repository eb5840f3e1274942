"""`load`: from a path or a preset's name to an `Upscaler`, whatever the model was saved as."""

from __future__ import annotations

from pathlib import Path

from xraysr.errors import UserError
from xraysr.presets.card import choices, names
from xraysr.upscale.upscaler import Runtime, Upscaler

FORMATS = "a .keras file, a .tflite file, a SavedModel folder or the folder of a training run"


def load(target: str | Path) -> Upscaler:
    """Opens a trained generator.

    Args:
        target: A `.keras` or `.tflite` file, a SavedModel folder, or a run folder, whose final
            generator is taken; where there is no such path, the name of a preset that comes
            with the package, such as "base-x4".

    Raises:
        UserError: if there is no such model, or it cannot be read.

    Example:
        >>> xraysr.load("base-x4")(lr).shape  # lr: float32 in [0, 1], (64, 64)
        (256, 256)
    """
    return Upscaler(_runtime(Path(target)))


def _runtime(path: Path) -> Runtime:
    preset = not path.exists() and str(path) in names()
    if not (preset or path.exists()):
        raise UserError(
            f"No model at {path}. Expected {FORMATS}, or the name of a preset. {choices(str(path))}"
        )
    if (path / "config.json").is_file():
        if not (path / "generator.keras").is_file():
            raise UserError(f"The run in {path} is not finished: go on with train --resume.")
        path = path / "generator.keras"
    if preset or path.suffix == ".keras":
        from xraysr.upscale.keras_model import KerasRuntime

        return KerasRuntime.open(path)
    if path.suffix == ".tflite":
        from xraysr.upscale.edge import EdgeRuntime

        return EdgeRuntime(path)
    if (path / "saved_model.pb").is_file():
        from xraysr.upscale.saved_model import SavedModelRuntime

        return SavedModelRuntime(path)
    raise UserError(f"{path} is not a model. Expected {FORMATS}.")
