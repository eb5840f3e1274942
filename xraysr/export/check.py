"""What an export loses against Keras, measured on the pixels of films."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from xraysr.data.pipeline import film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import to_float
from xraysr.evaluation.metrics import crop_border, psnr
from xraysr.films.finder import Film, Skipped
from xraysr.films.index import index_films
from xraysr.lanczos import degrade
from xraysr.models import SRNetwork
from xraysr.pair import Pair
from xraysr.phantom.film import make_phantom
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler

CALIBRATION_FILMS = CHECK_FILMS = 32
PHANTOMS = 8
FIRST_PHANTOM = 2000  # its seed; demos train on the first hundred
LEAST_PHANTOM = 64  # its side in pixels
NOISE_SIZES = ((24, 24), (17, 40))

Images = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Pixels:
    """Images to measure an export on.

    Args:
        source: What they are, for the card.
        pair: Their sizes.
        check: LR and HR of each, float32 in [0, 1], shape (height, width).
        calibration: LR of other patients' films, from which int8 takes its ranges.
        skipped: Films that could not be used.
    """

    source: str
    pair: Pair
    check: Images
    calibration: tuple[np.ndarray, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def phantom_pixels(pair: Pair) -> Pixels:
    """Synthetic films, where the user names none."""
    side = max(*pair.hr, LEAST_PHANTOM)
    films = [make_phantom(FIRST_PHANTOM + index, side) for index in range(PHANTOMS)]
    scaled = [(film.pixels / ((1 << film.bits) - 1)).astype(np.float32) for film in films]
    hrs = [image[: pair.hr[0], : pair.hr[1]] for image in scaled]
    check = [(degrade(hr, pair.lr, 8).astype(np.float32), hr) for hr in hrs]
    return Pixels(f"{PHANTOMS} phantoms", pair, check)


def film_pixels(folder: Path, pair: Pair) -> Pixels:
    """Films of the train part of `folder` for calibration, of the other patients for the check.

    Calibration sees the films at half the size: the fewer single bright pixels stretch the
    ranges, the finer their steps.

    Raises:
        UserError: if one of the two parts has no film that can be used.
    """
    index = index_films(folder)
    others = index.of("test") or index.require("val")
    skipped: list[Skipped] = []
    calibration = _images(index.require("train")[:CALIBRATION_FILMS], _half(pair), skipped)
    check = _images(others[:CHECK_FILMS], pair, skipped)
    if not (calibration and check):
        reasons = "; ".join(map(str, skipped[:3]))
        raise UserError(f"Films of {folder} cannot be used for {pair}: {reasons}")
    lrs = tuple(lr for lr, _ in calibration)
    return Pixels(
        f"{len(check)} film{'s'[: len(check) - 1]} of {folder.name}",
        pair,
        check,
        lrs,
        tuple(skipped),
    )


def _images(films: tuple[Film, ...], pair: Pair, skipped: list[Skipped]) -> Images:
    images = []
    for stored in film_pairs(films, pair, "crop", skipped):
        lr, hr = to_float(stored)
        if np.ptp(crop_border(hr, pair.scale)) == 0:
            skipped.append(Skipped(stored.film.path, "blank: every pixel has the same value"))
        else:
            images.append((lr, hr))
    return images


def _half(pair: Pair) -> Pair:
    lr = (max(1, pair.lr[0] // 2), max(1, pair.lr[1] // 2))
    return Pair(lr, (lr[0] * pair.scale, lr[1] * pair.scale))


def training_pair(spec: ModelSpec) -> Pair:
    """The pair a generator was trained for, the first where it was a mix; else 64 at LR."""
    pairs = [spec.training.get("pair"), *spec.training.get("pairs", ())]
    known = next((pair for pair in pairs if pair), f"64:{64 * spec.scale}")
    return Pair.parse(known)


def measure(
    generator: SRNetwork, artefact: Upscaler, pixels: Pixels, *, exact: bool
) -> dict[str, Any]:
    """What `artefact` computes against what `generator` computes.

    Args:
        generator: The network.
        artefact: What was exported.
        pixels: Images to measure on.
        exact: Whether both must agree on any image; then noise is looked at, too.

    Returns:
        `difference`: largest absolute difference, in units of [0, 1].
        `psnr_change`: PSNR of the artefact less that of Keras in dB, mean over the images, a
        border of `scale` pixels cropped. `pair` and `source` say on what.
    """
    differences, changes = [], []
    noise = np.random.default_rng(0)
    for size in NOISE_SIZES if exact else ():
        image = noise.random(size, dtype=np.float32)
        differences.append(np.abs(artefact(image) - _keras(generator, image)).max())
    for lr, hr in pixels.check:
        sr, expected = artefact(lr), _keras(generator, lr)
        differences.append(np.abs(sr - expected).max())
        scale = generator.scale
        changes.append(psnr(sr, hr, scale) - psnr(expected, hr, scale))
    return {
        "difference": float(np.max(differences)),
        "psnr_change": float(mean(changes)),
        "pair": str(pixels.pair),
        "source": pixels.source,
    }


def _keras(generator: SRNetwork, image: np.ndarray) -> np.ndarray:
    return np.asarray(generator(image[None, ..., None]))[0, ..., 0]
