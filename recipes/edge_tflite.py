"""Writes the edge presets as .tflite files with weights in int8, which open without TensorFlow.

    python recipes/edge_tflite.py FILMS

FILMS is a folder with train and test parts, on whose test films the loss against Keras is
measured; it stands in the card inside each file. The files go into xraysr/presets/weights/.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from xraysr.export.check import film_pixels, measure
from xraysr.export.converters import attach_card, write_tflite
from xraysr.files import whole_file
from xraysr.models import SRNetwork, open_model
from xraysr.pair import Pair
from xraysr.presets import names
from xraysr.presets.card import HOME
from xraysr.spec import ModelSpec
from xraysr.upscale import load

HR = 256


def write_preset(generator: SRNetwork, spec: ModelSpec, films: Path, path: Path) -> ModelSpec:
    """Writes `path`, its card inside; returns the card, which says what was lost."""
    lr = HR // spec.scale
    pixels = film_pixels(films, Pair.parse(f"{lr}:{lr * spec.scale}"))
    spec = replace(spec, export={"format": "tflite", "precision": "dynamic"})
    with whole_file(path) as temporary:
        write_tflite(generator, temporary, "dynamic")
        spec.save(temporary)
        checked = measure(generator, load(temporary), pixels, exact=False)
        ModelSpec.path_for(temporary).unlink()
        spec = replace(spec, export={**spec.export, **checked})
        attach_card(temporary, spec)
    return spec


def main() -> None:
    """Writes all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    arguments = parser.parse_args()
    for name in names():
        if "edge-" in name:
            path = HOME / "weights" / f"{name}.tflite"
            spec = write_preset(*open_model(name), arguments.films, path)
            print(f"{name}: {path.stat().st_size} bytes, {spec.export}")


if __name__ == "__main__":
    main()
