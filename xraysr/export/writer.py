"""`export_model`: writes an artefact, and keeps it only when it does what Keras does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.export.check import film_pixels, measure, phantom_pixels, training_pair
from xraysr.export.converters import PRECISIONS, attach_card, write_onnx, write_tflite
from xraysr.export.saved_model import WARMUP_FILE, write_saved_model
from xraysr.export.target import Target
from xraysr.files import make_folder
from xraysr.models import SRNetwork, open_model
from xraysr.models.data_consistency import ConsistentGenerator
from xraysr.models.network import as_network
from xraysr.pair import Pair
from xraysr.spec import ModelSpec
from xraysr.upscale import load

TOLERANCE = 1e-5
NO_WARMUP = (
    "Written without warm-up requests: they need tensorflow-serving-api, which is not installed. "
    "pip install 'xraysr[serving]'. The first request of each size will be slow"
)
# dB of PSNR that a quantised export may lose unless told otherwise.
MAX_LOSS = {"float16": 0.1, "dynamic": 0.1, "int8": 0.5}


class ParityError(RuntimeError):
    """An artefact does not compute what the generator computes; it was not kept."""


@dataclass(frozen=True)
class Export:
    """What `export_model` wrote.

    Args:
        path: The file or folder.
        spec: The card in it, with what was measured under `export`.
        checked: `difference` (largest absolute one to Keras, in units of [0, 1]), `psnr_change`
            (dB, mean over the films), and the `pair` and `source` they were measured on.
        skipped: Films that could not be used for it, each with the reason.
        notes: Sentences on what it lacks.
    """

    path: Path
    spec: ModelSpec
    checked: dict[str, Any]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for people."""
        difference, change = self.checked["difference"], self.checked["psnr_change"]
        return (
            f"{self.path}: differs from Keras by {difference:.1e} at most, PSNR "
            f"{round(change, 3) + 0.0:+.3f} dB ({self.checked['source']}, {self.checked['pair']})"
        )


def export_model(
    model: str | Path | keras.Model,
    out: str | Path,
    format: str,
    *,
    precision: str = "float32",
    films: str | Path | None = None,
    pair: Pair | str | None = None,
    max_psnr_loss: float | None = None,
    faithful: bool = False,
    name: str | None = None,
    version: int | None = None,
    overwrite: bool = False,
) -> Export:
    """Exports a trained generator, with its card, and checks it against Keras on pixels.

    Args:
        model: A `.keras` file, of ours or of any Keras model that enlarges; the folder of a
            training run; the name of a preset; or such a model itself, see
            `xraysr.models.open_model`.
        out: For `tflite` and `onnx` the file to write, ending so. For `saved_model` the folder of
            all models: `OUT/<name>/<version>/` is written, as TF Serving expects it.
        format: `saved_model`, `tflite` or `onnx`.
        precision: Of a `tflite` file: `float32`, `float16`, `dynamic` (weights in int8) or `int8`
            (weights and activations).
        films: Folder of films. Those of the train part (75 % of the patients where it has no such
            folder) calibrate int8, those of other patients are what the check is made on. int8
            needs it; otherwise phantoms serve where it is None.
        pair: Sizes of calibration and check; default: the one of the training.
        max_psnr_loss: dB that a quantised export may lose; default 0.1, for int8 0.5.
        faithful: Export the generator followed by the projection onto images that reduce to the
            film, see `xraysr.models.data_consistency`; float32 only.
        name: Of the served model; default: the preset, or the run's folder, or the file's stem.
        version: Of the served model; default: the next free one.
        overwrite: Replace an earlier export.

    Raises:
        UserError: for a mistake in the arguments.
        ParityError: if a float32 export differs from Keras by more than 1e-5, or a quantised one
            loses more than `max_psnr_loss`. Nothing is written then.

    Example:
        >>> xraysr.export_model("base-x4", "models", "saved_model").path
        PosixPath('models/base-x4/1')
    """
    limit = _limit(format, precision, films, max_psnr_loss)
    if faithful and precision != "float32":
        raise UserError(f"A faithful export is in float32. Received: precision {precision}")
    called = model.name if isinstance(model, keras.Model) else _name(model)
    target = Target.of(Path(out), format, name or called, version)
    opened, spec = open_model(model)
    generator = as_network(opened, spec)
    target.check(overwrite)
    sizes = Pair.parse(pair) if pair else training_pair(spec)
    if sizes.scale != spec.scale:
        raise UserError(f"{called} enlarges x{spec.scale}. Received: pair {sizes}")
    pixels = film_pixels(Path(films), sizes) if films else phantom_pixels(sizes)
    spec = replace(spec, export={"format": format, "precision": precision})
    if faithful:
        generator = ConsistentGenerator(generator)
        radius = generator.receptive_radius
        spec = replace(spec, receptive_radius=radius, export={**spec.export, "faithful": True})
    make_folder(target.path.parent)
    try:
        workshop = tempfile.TemporaryDirectory(dir=target.path.parent, prefix=".export-")
    except OSError as error:
        raise UserError(f"Cannot write {target.path}: {error.strerror}") from error
    with workshop as folder, _says_why_it_cannot_write(target.path):
        artefact = Path(folder) / target.path.name
        WRITERS[format](generator, artefact, spec, pixels.calibration)
        checked = measure(generator, load(artefact), pixels, exact=limit is None)
        _judge(f"{precision} {format} export of {called}", checked, limit)
        if format != "saved_model":  # whose card is part of its graph
            spec = replace(spec, export={**spec.export, **checked})
            spec.save(artefact)
        if format == "tflite":
            attach_card(artefact, spec)
        target.put(artefact)
    warm = format != "saved_model" or (target.path / WARMUP_FILE).is_file()
    notes = () if warm else (NO_WARMUP,)
    return Export(target.path, spec, checked, tuple(map(str, pixels.skipped)), notes)


@contextmanager
def _says_why_it_cannot_write(path: Path) -> Iterator[None]:
    """A full disk, or a folder that may not be written, becomes a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}") from error
    except tf.errors.OpError as error:
        reason = " ".join(error.message.split())
        raise UserError(f"Cannot write {path}: {reason[-300:]}") from error


def _limit(
    format: str, precision: str, films: str | Path | None, max_psnr_loss: float | None
) -> float | None:
    """dB that may be lost; None where Keras must be met to `TOLERANCE`."""
    if format not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}. Received: {format}")
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}. Received: {precision}")
    if precision == "float32":
        if max_psnr_loss is not None:
            raise UserError(
                f"max_psnr_loss is for quantised exports; float32 is held to {TOLERANCE:.0e} of "
                f"Keras. Received: {max_psnr_loss:g}"
            )
        return None
    if format != "tflite":
        raise UserError(f"precision {precision} is for tflite. Received: format {format}")
    if precision == "int8" and films is None:
        raise UserError(
            "int8 takes its ranges from films like those the model will meet: name a folder of "
            "them as films. Received: none"
        )
    return MAX_LOSS[precision] if max_psnr_loss is None else max_psnr_loss


def _name(model: str | Path) -> str:
    """What a model is called: a folder's name, or the stem of a file or preset."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else path.stem


def _write_saved_model(generator: SRNetwork, path: Path, spec: ModelSpec, _: object) -> None:
    write_saved_model(generator, path, spec)


def _write_tflite(
    generator: SRNetwork, path: Path, spec: ModelSpec, calibration: Sequence[np.ndarray]
) -> None:
    write_tflite(generator, path, spec.export["precision"], calibration)
    spec.save(path)


def _write_onnx(generator: SRNetwork, path: Path, spec: ModelSpec, _: object) -> None:
    write_onnx(generator, path)
    spec.save(path)


WRITERS = {"saved_model": _write_saved_model, "tflite": _write_tflite, "onnx": _write_onnx}
FORMATS = tuple(WRITERS)


def _judge(export: str, checked: dict[str, Any], limit: float | None) -> None:
    difference, change = checked["difference"], checked["psnr_change"]
    if limit is None and not difference <= TOLERANCE:
        raise ParityError(
            f"The {export} differs from Keras by {difference:.2g}, more than {TOLERANCE:.0e}. "
            "It was not written."
        )
    if limit is not None and not change >= -limit:
        raise ParityError(
            f"The {export} loses {-change:.3f} dB against Keras, more than {limit:g} dB, on "
            f"{checked['source']} at {checked['pair']}. It was not written. "
            "Take another precision (dynamic keeps activations in float32), films that are more "
            "like those of the training, or allow it with max_psnr_loss."
        )
