"""`load`: from a path or a preset's name to an `Upscaler`, whatever the model was saved as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.presets.card import choices, names, tflite_path
from xraysr.upscale.runtimes import has_tensorflow
from xraysr.upscale.upscaler import Runtime, Upscaler

FORMATS = (
    "a .keras, .tflite or .onnx file, a SavedModel folder, the folder of a training run or the "
    "address of a server (http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME)"
)
AUTO = "auto"
AUTO_PRESETS = ("base-x4", "robust-x4")  # for films that are clean and sharp, and for others
AUTO_EDGE = ("edge-x4", "robust-edge-x4")  # the same without TensorFlow
ADDRESSES = ("http://", "https://", "grpc://", "grpcs://")


def load(target: Any) -> Upscaler:
    """Opens a trained generator.

    Args:
        target: A `.keras`, `.tflite` or `.onnx` file; a SavedModel folder, or the folder of its
            versions, of which the highest is taken; a run folder, whose final generator is
            taken; the address of a TF Serving server, see `xraysr.upscale.remote.connect`; where
            there is no such path, the name of a preset that comes with the package, such as
            "base-x4", or "auto", which takes base-x4 for films that are clean and sharp, and
            robust-x4 for others. Where TensorFlow is not installed, the edge presets open as the
            `.tflite` files that ship beside them. Or a Keras model that enlarges, as it is in
            memory. A model without a card gets one, see `xraysr.models.open_model`.

    Raises:
        UserError: if there is no such model, or it cannot be read or reached.

    Example:
        >>> xraysr.load("base-x4")(lr).shape  # lr: float32 in [0, 1], (64, 64)
        (256, 256)
    """
    if str(target).startswith(ADDRESSES):
        from xraysr.upscale.remote import connect

        return connect(str(target))
    if target == AUTO and not Path(AUTO).exists():
        from xraysr.upscale.auto import AutoUpscaler

        clean, robust = AUTO_PRESETS if has_tensorflow() else AUTO_EDGE
        return AutoUpscaler(load(clean), load(robust))
    if isinstance(target, str | Path):
        return Upscaler(_runtime(Path(target)))
    from xraysr.upscale.runtimes import KerasRuntime

    return Upscaler(KerasRuntime.open(target))


def _runtime(path: Path) -> Runtime:
    if not path.exists() and str(path) not in names():
        raise UserError(
            f"No model at {path}. Expected {FORMATS}, or the name of a preset or auto. "
            f"{choices(str(path))}"
        )
    if not path.exists() and not has_tensorflow():
        path = tflite_path(str(path)) or path
    if path.suffix == ".tflite":
        from xraysr.upscale.edge import EdgeRuntime

        return EdgeRuntime(path)
    if path.suffix == ".onnx":
        from xraysr.upscale.runtimes import OnnxRuntime

        return OnnxRuntime(path)
    if (folder := latest_version(path)) is not None:
        from xraysr.upscale.runtimes import SavedModelRuntime

        return SavedModelRuntime(folder)
    run = (path / "config.json").is_file()
    if path.exists() and not run and path.suffix != ".keras":
        raise UserError(f"{path} is not a model. Expected {FORMATS}.")
    from xraysr.upscale.runtimes import KerasRuntime

    return KerasRuntime.open(path)


def latest_version(folder: Path) -> Path | None:
    """A SavedModel folder, or the highest version in it, as TF Serving chooses; None if neither."""
    if (folder / "saved_model.pb").is_file():
        return folder
    found = [
        path.parent for path in folder.glob("*/saved_model.pb") if path.parent.name.isdecimal()
    ]
    return max(found, key=lambda path: int(path.name), default=None)
