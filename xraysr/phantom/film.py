"""A synthetic chest film by physics, so that everything runs with no download.

A seeded patient (`xraysr.phantom.anatomy`) is crossed by a parallel beam; the path lengths, weighed
with the attenuation of each tissue, make a line integral, and Beer-Lambert's law, scatter, the
detector's blur, Poisson noise and a logarithm make a 12-bit film. Phantoms with exact projections
go back to Shepp and Logan (1974, IEEE Trans. Nucl. Sci. 21:21), patients made of parameters to
XCAT (Segars et al. 2010, "4D XCAT phantom", Med. Phys. 37(9):4902). A ``Degradation`` takes the
place of detector and noise, so that one description serves films and phantom.

Scores on phantoms are not clinical scores: they tell whether the code works and how methods
compare on edges and fine tubes, not how they do on patients.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.degradation import Degradation
from xraysr.errors import UserError
from xraysr.files import make_folder, write_json
from xraysr.io import Radiograph, write
from xraysr.phantom import anatomy
from xraysr.phantom.anatomy import Anatomy
from xraysr.phantom.projection import Grid, Tubes, draw, half_depth
from xraysr.pool import run_all
from xraysr.progress import track

# Linear attenuation at 60 keV in 1/cm: NIST XCOM, compositions and densities of ICRU-44.
SOFT, MUSCLE, BLOOD, FAT, CORTICAL = 0.203, 0.213, 0.217, 0.182, 0.574
LUNG = 0.26 * SOFT
SPONGY = 0.25  # red marrow between trabeculae
RIB_WALL, SHOULDER_WALL, SPINE_WALL = 0.12, 0.18, 0.06  # cortical bone, cm

GRAIN = 0.03  # standard deviation of the lungs' relative density
GRAIN_SLOPE, GRAIN_COARSEST, GRAIN_MODES = 1.4, 5, 512  # amplitude 1 / f**slope, f per film
SCATTER, SCATTER_SPREAD = 0.05, 3.5  # single scatter past the grid, and its sigma in cm
BLUR = 0.015  # sigma in cm of focal spot and detector
BITS = 12
FINE = 4  # samples a side for each pixel of a detector that is given
LEVEL, WIDTH = 1.1, 2.9  # window of the film, nepers darker than the lungs


@dataclass(frozen=True)
class Nodule:
    """A sphere in the lung: centre and radius in pixels, the first pixel's centre being 0."""

    row: float
    column: float
    radius: float


@dataclass(frozen=True)
class Phantom:
    """A film and what is known of it.

    ``pixels`` is uint16, ``(size, size)``, in 0..4095 and bright where the patient is dense
    (MONOCHROME2); ``spacing`` is in mm per pixel.
    """

    pixels: np.ndarray
    bits: int
    spacing: float
    nodules: tuple[Nodule, ...]
    seed: int


def make_phantom(seed: int, size: int = 512, detector: Degradation | None = None) -> Phantom:
    """Make the film of the patient ``seed``, the same bytes at each call.

    ``size`` sets the sampling only: the patient and the field of view, 36 to 42 cm, stay.

    ``detector`` takes the film in place of the phantom's own blur and noise: ``FINE`` samples a
    side for each of its pixels reach it, with the patient's scatter and nothing else. Its lengths
    are in pixels of the film.

    Raises:
        UserError: if ``seed`` is negative or ``size`` is below 64.
    """
    _check(seed, size)
    streams = np.random.SeedSequence(seed).spawn(3)
    person, grain, beam = (np.random.default_rng(stream) for stream in streams)
    patient = Anatomy.sample(person)
    width = person.uniform(36.0, 38.5) * max(1.0, patient.breadth)
    grid = Grid(size, width, patient.yaw, patient.lean)
    if detector is None:
        fluence = beam.uniform(9e5, 2.2e6)
        pixels = develop(expose(line_integral(patient, grid, grain), grid, fluence, beam))
    else:
        fine = Grid(FINE * size, width, patient.yaw, patient.lean)
        ideal = shade(arriving(line_integral(patient, fine, grain), fine))
        pixels = _stored(detector(ideal.astype(np.float32), (size, size), beam))
    nodules = tuple(_on_film(grid, *nodule) for nodule in patient.nodules)
    return Phantom(pixels, BITS, 10 * grid.pitch, nodules, seed)


def line_integral(patient: Anatomy, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """The attenuation summed along each ray, float32 ``(size, size)``, dimensionless.

    An organ displaces what it lies in, so it adds its path length times the difference between
    the two attenuations. ``rng`` draws the grain of the lungs.
    """
    x, y = grid.coordinates()
    return (
        _trunk(patient, x, y)
        + _lungs(patient, grid, x, y, rng)
        + _bones(patient, grid, x, y)
        - SOFT * draw(grid, anatomy.airways(patient))
    )


def _trunk(patient: Anatomy, x, y) -> np.ndarray:
    """Fat, muscle and the soft tissue within, with heart, breasts and the gas of the stomach."""
    depths = (0.0, patient.fat, patient.fat + patient.muscle)
    skin, flesh, cavity = (anatomy.body(patient, x, y, under) for under in depths)
    gas = max(patient.gas, 1e-3)
    stomach = half_depth(x, y, (7.0, patient.dome + 3.2 + 0.6 * gas), (2.2 * gas, gas, 1.5 * gas))
    half = FAT * (skin - flesh) + MUSCLE * (flesh - cavity) + SOFT * (cavity - stomach)
    half += FAT * anatomy.breasts(patient, x, y)
    return 2 * (half + (BLOOD - SOFT) * anatomy.heart(patient, x, y))


def _lungs(patient: Anatomy, grid: Grid, x, y, rng) -> np.ndarray:
    """What the lungs, with their vessels and nodules, take from or add to soft tissue."""
    air = anatomy.air(patient, x, y)
    aerated = air / np.maximum(2 * anatomy.lung(patient, x, y), 1e-3)
    vessels = draw(grid, Tubes.join([tree.tubes() for tree in patient.vessels]))
    density = 1 + GRAIN * _grain(grid.size, rng)
    total = (LUNG * density - SOFT) * air + (BLOOD - LUNG) * aerated * vessels
    for centre_x, centre_y, radius in patient.nodules:
        sphere = half_depth(x, y, (centre_x, centre_y), (radius, radius, radius))
        total += 2 * (SOFT - LUNG) * sphere
    return total


def _bones(patient: Anatomy, grid: Grid, x, y) -> np.ndarray:
    """What cortical shells and the spongy bone in them add to muscle."""
    shell = 2 * anatomy.spine(patient, x, y)
    core = 2 * anatomy.spine(patient, x, y, SPINE_WALL)
    pairs = ((anatomy.ribs(patient), RIB_WALL), (anatomy.shoulders(patient), SHOULDER_WALL))
    for bones, wall in pairs:
        shell += draw(grid, bones)
        core += draw(grid, bones.shrink(wall))
    return (CORTICAL - MUSCLE) * shell - (CORTICAL - SPONGY) * core


def _grain(size: int, rng: np.random.Generator) -> np.ndarray:
    """Power-law noise of unit variance, ``(size, size)``; a larger size adds finer modes."""
    rows, columns = np.fft.fftfreq(GRAIN_MODES, 1 / GRAIN_MODES), np.arange(GRAIN_MODES // 2 + 1)
    frequency = np.hypot(rows[:, None], columns)
    amplitude = np.maximum(frequency, 1.0) ** -GRAIN_SLOPE * (frequency > GRAIN_COARSEST)
    real, imaginary = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    modes = amplitude * (real + 1j * imaginary)
    kept = min(size, GRAIN_MODES) // 2
    spectrum = np.zeros((size, size // 2 + 1), np.complex64)
    spectrum[:kept, :kept], spectrum[-kept:, :kept] = modes[:kept, :kept], modes[-kept:, :kept]
    deviation = 2 * np.sqrt((amplitude**2).sum())
    return np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32) * (size**2 / deviation)


def expose(
    integral: np.ndarray, grid: Grid, fluence: float, rng: np.random.Generator
) -> np.ndarray:
    """Quanta counted in each pixel, relative to the mean behind the lungs, float64.

    ``fluence`` is that mean in quanta per square cm: automatic exposure control ends the shot
    when its two chambers, over the lungs, have it. The blur comes before the counting, so that
    the noise is white.
    """
    signal = _blur(_signal(integral, grid), (BLUR / grid.pitch) ** 2)
    mean = fluence * grid.pitch**2
    return rng.poisson(signal * (mean / _behind_lungs(signal, grid))) / mean


def arriving(integral: np.ndarray, grid: Grid) -> np.ndarray:
    """What ``expose`` counts, before blur and noise."""
    signal = _signal(integral, grid)
    return signal / _behind_lungs(signal, grid)


def _signal(integral: np.ndarray, grid: Grid) -> np.ndarray:
    """Primary beam, and scatter: born where the beam is attenuated, it spreads as a Gaussian."""
    primary = np.exp(-integral)
    return primary + SCATTER * _spread(primary * integral, SCATTER_SPREAD / grid.pitch)


def _behind_lungs(signal: np.ndarray, grid: Grid) -> float:
    x, y = grid.coordinates()
    chambers = (np.abs(np.abs(x) - 7.0) < 2.5) & (np.abs(y + 3.0) < 5.0)
    return signal[chambers].mean()


def develop(quanta: np.ndarray) -> np.ndarray:
    """The stored values, uint16 in 0..4095, of quanta relative to the mean behind the lungs."""
    return _stored(shade(quanta))


def shade(quanta: np.ndarray) -> np.ndarray:
    """The same in [0, 1].

    The logarithm passes through DICOM's sigmoid window (PS3.3 C.11.2.1.3.1), of fixed level and
    width, which like film has a toe and a shoulder and so clips nothing.
    """
    density = -np.log(np.maximum(quanta, 1e-4))
    return 1 / (1 + np.exp(-4 * (density - LEVEL) / WIDTH))


def _stored(shades: np.ndarray) -> np.ndarray:
    return np.rint(shades * (2**BITS - 1)).astype(np.uint16)


def _spread(image: np.ndarray, sigma: float) -> np.ndarray:
    """Convolve with a wide Gaussian, ``sigma`` in pixels, that keeps its weight at the borders."""
    place = np.arange(len(image), dtype=np.float32)
    kernel = np.exp(-(((place[:, None] - place) / sigma) ** 2) / 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ image @ kernel.T


def _blur(image: np.ndarray, variance: float) -> np.ndarray:
    """Convolve with three taps of the given variance, below 1/2, along each axis."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        image = image + variance / 2 * np.diff(padded, 2, axis=axis)
    return image


def _on_film(grid: Grid, x: float, y: float, radius: float) -> Nodule:
    """A nodule of the patient in pixels."""
    column, row = grid.project(np.array([[x, y, 0.0]]))[0]
    return Nodule(float(row), float(column), radius / grid.pitch)


def write_phantoms(
    folder: Path, count: int, size: int = 512, seed: int = 0, workers: int = 1
) -> list[Path]:
    """Write the phantoms ``seed`` to ``seed + count - 1`` and return their paths in order.

    Each is a 16-bit grey PNG, ``phantom_NNNN.png`` after its seed, whose stem is the patient's id;
    the 12-bit values are stretched to 0..65535. ``phantoms.json`` maps each file's name to
    its seed, spacing in mm and nodules in pixels. Files appear whole or not at all.

    With more than one of ``workers``, call it under ``if __name__ == "__main__":``.

    Raises:
        UserError: if ``count`` is below 1, ``seed`` negative, ``size`` below 64, or ``folder``
            cannot be written.
    """
    _require(count >= 1, "count", "an integer >= 1", count)
    _check(seed, size)
    folder = make_folder(Path(folder))
    jobs = [(folder, number, size) for number in range(seed, seed + count)]
    records = dict(track(run_all(_write, jobs, workers), "Making phantoms", count))
    write_json(folder / "phantoms.json", dict(sorted(records.items())))
    return [folder / name for name in sorted(records)]


def _write(job: tuple[Path, int, int]) -> tuple[str, dict[str, Any]]:
    """Write one phantom; its file's name and its line of phantoms.json."""
    folder, seed, size = job
    film = make_phantom(seed, size)
    name = f"phantom_{seed:04d}.png"
    pixels = (film.pixels / (2**BITS - 1)).astype(np.float32)
    write(folder / name, Radiograph(pixels, film.bits), overwrite=True)
    nodules = [asdict(nodule) for nodule in film.nodules]
    return name, {"seed": seed, "spacing": film.spacing, "nodules": nodules}


def _check(seed: int, size: int) -> None:
    _require(seed >= 0, "seed", "an integer >= 0", seed)
    _require(size >= 64, "size", "an integer >= 64", size)


def _require(holds: bool, argument: str, expected: str, received) -> None:
    """Raise UserError unless ``holds``."""
    if not holds:
        message = f"`{argument}` must be {expected}. Received: {argument}={received!r}"
        raise UserError(message)
