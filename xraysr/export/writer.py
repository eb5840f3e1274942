"""`export_model`: writes an artefact, and keeps it only when it does what Keras does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.export.saved_model import write_saved_model
from xraysr.export.tflite import write_tflite
from xraysr.files import make_folder, refuse_existing
from xraysr.models import SRNetwork
from xraysr.presets.opening import open_generator
from xraysr.spec import ModelSpec
from xraysr.upscale import load

WRITERS = {"saved_model": write_saved_model, "tflite": write_tflite}
FORMATS = tuple(WRITERS)
TOLERANCE = 1e-5
PARITY_SIZES = ((24, 24), (17, 40))


class ParityError(RuntimeError):
    """An artefact does not compute what the generator computes; it was not kept."""


def export_model(model: str | Path, out: Path, format: str, *, overwrite: bool = False) -> float:
    """Exports a trained generator and checks it against Keras on random images.

    Args:
        model: A `.keras` file, the folder of a training run, or the name of a preset.
        out: The folder (`saved_model`) or file ending in .tflite (`tflite`) to write, with the
            model's card in or beside it.
        format: `saved_model` or `tflite`.
        overwrite: Replace an earlier export at `out`, or another model's card beside it.

    Returns:
        The largest absolute difference to Keras, in units of the range [0, 1].

    Raises:
        UserError: for a mistake in the arguments.
        ParityError: if the difference exceeds 1e-5.
    """
    out = Path(out)
    if format not in WRITERS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}. Received: {format}")
    if (format == "tflite") != (out.suffix == ".tflite"):
        raise UserError(
            f"A tflite export is a file ending in .tflite, a saved_model export a folder. "
            f"Received: format {format}, {out}"
        )
    generator, spec = open_generator(model)
    _check_output(out, spec, format, overwrite)
    make_folder(out.parent)
    try:
        workshop = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-")
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror}") from error
    with workshop as folder:
        artefact = Path(folder) / out.name
        WRITERS[format](generator, artefact)
        spec.save(artefact)
        difference = parity(generator, artefact)
        if not difference <= TOLERANCE:
            raise ParityError(
                f"The {format} export of {model} differs from Keras by {difference:.2g}, more "
                f"than {TOLERANCE:.0e}. It was not written."
            )
        _put(artefact, out)
    return difference


def _check_output(out: Path, spec: ModelSpec, format: str, overwrite: bool) -> None:
    """Refuses to replace what is no earlier export, and unasked whatever exists."""
    refuse_existing(out, overwrite)
    replaceable = out.is_file() if format == "tflite" else (out / "saved_model.pb").is_file()
    if out.exists() and not replaceable:
        raise UserError(f"{out} is not a {format} export; it is not overwritten.")
    card = ModelSpec.path_for(out)
    if format == "tflite" and card.exists() and not overwrite and ModelSpec.load(out) != spec:
        raise UserError(
            f"{card} is the card of another model, and that of {out} would replace it. "
            "Pass --overwrite to do so, or name another output."
        )


def parity(generator: SRNetwork, artefact: Path) -> float:
    """Largest absolute difference between an artefact and Keras on seeded random images."""
    upscaler = load(artefact)
    random = np.random.default_rng(0)
    differences = []
    for size in PARITY_SIZES:
        image = random.random((1, *size, 1), dtype=np.float32)
        expected = np.asarray(generator(image))
        differences.append(np.abs(upscaler(image) - expected).max())
    return float(np.max(differences))


def _put(artefact: Path, out: Path) -> None:
    """Moves an artefact, and the card beside it, to where they were asked for."""
    if not artefact.is_dir():
        os.replace(ModelSpec.path_for(artefact), ModelSpec.path_for(out))
    elif out.exists():
        os.replace(out, artefact.with_name(f"{out.name}.before"))  # goes with the workshop
    os.replace(artefact, out)
