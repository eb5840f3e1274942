"""`export_model`: writes an artefact, and keeps it only when it does what Keras does."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.export.saved_model import write_saved_model
from xraysr.export.tflite import write_tflite
from xraysr.files import make_folder, refuse_existing
from xraysr.models import Generator
from xraysr.models.storage import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale import load

WRITERS = {"saved_model": write_saved_model, "tflite": write_tflite}
FORMATS = tuple(WRITERS)
TOLERANCE = 1e-5
PARITY_SIZES = ((24, 24), (17, 40))


class ParityError(RuntimeError):
    """An artefact does not compute what the generator computes; it was not kept."""


def export_model(model: Path, out: Path, format: str, *, overwrite: bool = False) -> float:
    """Exports a trained generator and checks it against Keras on random images.

    Args:
        model: A `.keras` file, or the folder of a training run.
        out: The folder (`saved_model`) or file ending in .tflite (`tflite`) to write, with the
            model's card in or beside it.
        format: `saved_model` or `tflite`.
        overwrite: Replace what is at `out`.

    Returns:
        The largest absolute difference to Keras, in units of the range [0, 1].

    Raises:
        UserError: for a mistake in the arguments.
        ParityError: if the difference exceeds 1e-5.
    """
    model, out = Path(model), Path(out)
    if format not in WRITERS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}. Received: {format}")
    if (format == "tflite") != (out.suffix == ".tflite"):
        raise UserError(
            f"A tflite export is a file ending in .tflite, a saved_model export a folder. "
            f"Received: format {format}, {out}"
        )
    if model.is_dir():
        model = model / "generator.keras"
    generator, spec = load_generator(model), ModelSpec.load(model)
    refuse_existing(out, overwrite)
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


def parity(generator: Generator, artefact: Path) -> float:
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
    if out.is_dir():
        shutil.rmtree(out)
    card = ModelSpec.path_for(artefact)
    if not artefact.is_dir():
        os.replace(card, ModelSpec.path_for(out))
    os.replace(artefact, out)
