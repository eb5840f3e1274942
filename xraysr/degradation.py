"""`Degradation`: how a detector, and what came after it, made the LR image of a film.

The parts follow the detector: the aperture that gathers HR pixels into one, the blur of the
detector, scatter and grid, quanta and electronics, then the file. Film values are taken as the
logarithm of exposure, as digital systems show them: exposure is `exp(-LATITUDE * film)` of that
behind black, so that bright pixels, behind bone, have few quanta and much noise.

Reference:
    Bushberg et al., The Essential Physics of Medical Imaging (2012), sections 4.2 (noise), 7.2 to
    7.9 (detectors, scatter and grids)
"""

from __future__ import annotations

import hashlib
import inspect
import io
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from xraysr.errors import UserError
from xraysr.lanczos import lanczos_matrix, resize, round_to_bits
from xraysr.pair import Size

DEFAULT = "lanczos3, antialiased, clipped, rounded to the bits of the file"
AS_FOUND = "as found in the folder"
LATITUDE = 2.9  # nepers of exposure from black to white: the width of the phantom's film
APERTURES = ("lanczos", "bicubic", "box", "point")
FINE_SHARE = 1 / 3  # of the crops of a mixture that has films at their detector's own sampling
FINE_NOISE = (0.002, 0.022)  # the standard deviation of their noise: 0.4 to 1.9 % was measured
GRAIN = (1.0, 2.5)  # HR pixels over which it is alike
MARGIN = 8  # LR pixels beyond which no part looks: that of a crop made alone, as of the whole film

Number = Any  # a float, or a tuple: the ends of a range to draw from
# HR, float32 (height, width) in [0, 1], and the LR size give LR, float (*lr_size) in [0, 1].
Degrade = Callable[[np.ndarray, Size], np.ndarray]


def _ends(value: Number) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)


def _range(value: Number) -> str:
    low, high = _ends(value)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


@dataclass(frozen=True)
class Degradation:
    """What lies between a film at HR and its LR image.

    A number may be a range (low, high), from which `draw` takes a value. The default is the one
    that the pairs mean: antialiased Lanczos, nothing else.

    Args:
        aperture: `lanczos` or `bicubic` with antialias; `box`, the mean over the pixel, as a
            detector bins; `point`, the middle of the pixel alone, which aliases.
        fill: Side of the box over the pitch, 0 to 1.
        blur: Standard deviation of the detector's Gaussian blur in LR pixels.
        mtf: Instead of it, the detector's MTF: frequency in cycles per LR pixel and value, from
            (0, 1) on, linear in between, 0 beyond the last.
        scatter: Share of the exposure that is scatter, 0 to below 1; it lies evenly on the film.
        grid: Modulation of the exposure by a grid's lines, 0 to 1.
        grid_period: Distance of its lines in LR pixels.
        quanta: Standard deviation of the quantum noise at middle grey, in units of [0, 1].
        noise: Standard deviation of the electronic noise, in units of [0, 1].
        bits: Bit depth of a file in between, 1 to 16; 0 for that of the film.
        jpeg: Quality of a JPEG in between, 1 to 100; 0 for none.
        jpeg2000: PSNR in dB that a JPEG 2000 file in between keeps; 0 for none.

    Raises:
        UserError: if a value is out of its range.

    Example:
        >>> degradation = Degradation(aperture="box", blur=0.4, noise=(0.0, 0.02))
        >>> lr = degradation(hr, (64, 64))
    """

    aperture: str = "lanczos"
    fill: Number = 1.0
    blur: Number = 0.0
    mtf: tuple[tuple[float, float], ...] = ()
    scatter: Number = 0.0
    grid: Number = 0.0
    grid_period: Number = 4.0
    quanta: Number = 0.0
    noise: Number = 0.0
    bits: Number = 0
    jpeg: Number = 0
    jpeg2000: Number = 0

    def __post_init__(self) -> None:
        self._require(self.aperture in APERTURES, "aperture", " or ".join(APERTURES))
        limits = {
            "fill": (1e-3, 1), "blur": (0, 2), "scatter": (0, 0.95), "grid": (0, 1),
            "grid_period": (1, 100), "quanta": (0, 1), "noise": (0, 1), "bits": (0, 16),
            "jpeg": (0, 100), "jpeg2000": (0, 100),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            ends = _ends(getattr(self, name))
            holds = low <= ends[0] <= ends[1] <= high
            self._require(holds, name, f"from {low:g} to {high:g}, or a range within")
        rising = [frequency for frequency, _ in self.mtf]
        self._require(
            not self.mtf
            or (self.mtf[0] == (0, 1) and len(rising) > 1 and rising == sorted(set(rising))),
            "mtf",
            "two or more pairs of rising frequency and value, the first of them (0, 1)",
        )

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise UserError(f"{name} must be {expected}. Received: {name}={getattr(self, name)}")

    def draw(self, rng: np.random.Generator) -> Degradation:
        """The same with every range replaced by a value from it, uniformly."""
        ranges = {f.name: getattr(self, f.name) for f in fields(self)}
        drawn: dict[str, Any] = {
            name: rng.uniform(*value)
            for name, value in ranges.items()
            if name != "mtf" and isinstance(value, tuple)
        }
        return replace(self, **drawn) if drawn else self

    def __call__(
        self, hr: np.ndarray, lr_size: Size, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """The LR image of `hr`.

        Args:
            hr: Float in [0, 1], shape (height, width), a multiple of `lr_size`.
            lr_size: (height, width) of the result.
            rng: What noise and ranges are drawn from; by default it follows from the pixels, so
                that a film has the same LR image wherever it stands.

        Returns:
            float32 in [0, 1], shape `lr_size`, not rounded unless by the file in between.
        """
        rng = rng or rng_at(zlib.crc32(hr.tobytes()), 0)
        fixed = self.draw(rng)
        rows, columns = (fixed._matrix(*sides) for sides in zip(hr.shape, lr_size, strict=True))
        lr = rows @ hr.astype(np.float32) @ columns.T
        lr = fixed._expose(lr, rng)
        if fixed.noise:
            lr = lr + rng.normal(0.0, fixed.noise, lr.shape)
        return fixed._file(np.clip(lr, 0.0, 1.0)).astype(np.float32)

    def _matrix(self, size_in: int, size_out: int) -> np.ndarray:
        """Blur and aperture along one axis, (size_out, size_in), float32; rows sum to 1."""
        sampled = _aperture(self.aperture, float(self.fill), size_in, size_out)
        if not (self.blur or self.mtf):
            return sampled
        kernel = _blur(float(self.blur), self.mtf, size_in // size_out)
        reach = len(kernel) // 2
        blurred = np.zeros((size_out, size_in + 2 * reach), np.float32)
        for place, weight in enumerate(kernel):
            blurred[:, place : place + size_in] += weight * sampled
        # The image goes on beyond its border with the outermost pixels.
        blurred[:, reach] += blurred[:, :reach].sum(axis=1)
        blurred[:, -reach - 1] += blurred[:, -reach:].sum(axis=1)
        return blurred[:, reach:-reach]

    def _expose(self, lr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Scatter, grid and quanta, in exposure."""
        if not (self.scatter or self.grid or self.quanta):
            return lr
        exposure = np.exp(-LATITUDE * lr.astype(np.float64))
        if self.scatter:
            exposure = (1 - self.scatter) * exposure + self.scatter * exposure.mean()
        if self.grid:
            phase, lines = rng.uniform(0, 2 * np.pi), np.arange(lr.shape[1])
            wave = np.cos(2 * np.pi * lines / self.grid_period + phase)
            exposure *= 1 - self.grid * (0.5 + 0.5 * wave)
        if self.quanta:
            # The film's deviation is 1 / (LATITUDE sqrt(quanta)) where there are that many.
            most = np.exp(LATITUDE / 2) / (LATITUDE * self.quanta) ** 2
            exposure = np.maximum(rng.poisson(most * exposure), 0.5) / most
        return -np.log(exposure) / LATITUDE

    def _file(self, lr: np.ndarray) -> np.ndarray:
        """What is left of an image after rounding, and compression with loss."""
        if bits := round(self.bits):
            lr = round_to_bits(lr, bits)
        if self.jpeg:
            return _through(lr, 255, "JPEG", quality=round(self.jpeg))
        if self.jpeg2000:
            options = {"irreversible": True, "quality_mode": "dB"}
            return _through(lr, 65535, "JPEG2000", quality_layers=[self.jpeg2000], **options)
        return lr

    @property
    def text(self) -> str:
        """In words, as tables, cards and manifests say it: `box, blur 0.4 px, JPEG 85`.

        Two that differ have different words.
        """
        said = [self.aperture + ("" if self.fill == 1.0 else f" of fill {_range(self.fill)}")]
        table = ", ".join(f"{value:g} at {frequency:g}" for frequency, value in self.mtf[1:])
        said += [f"MTF {table} per px"] if self.mtf else []
        for name, words in (
            ("blur", "blur {} px"), ("scatter", "scatter {}"),
            ("grid", f"grid {{}} of {_range(self.grid_period)} px"),
            ("quanta", "quantum noise {}"), ("noise", "noise {}"), ("bits", "{} bits"),
            ("jpeg", "JPEG {}"), ("jpeg2000", "JPEG 2000 of {} dB"),
        ):  # fmt: skip
            value = getattr(self, name)
            if _ends(value)[1]:
                said.append(words.format(_range(value)))
        return ", ".join(said)

    def to_json(self) -> dict[str, Any]:
        """Plain types, without what is as by default."""
        default = Degradation()
        return {k: v for k, v in asdict(self).items() if v != getattr(default, k)}


@dataclass(frozen=True)
class Mixture:
    """Several degradations, one of which is drawn for each crop.

    Args:
        name: What it is called.
        parts: The degradations, equally likely.
        finest: A third of the crops for training are as films at their detector's own sampling,
            up to this factor finer: enlarged first, with noise that HR and LR share, and then
            reduced by Lanczos alone. What such HR has beyond LR is mostly noise, and what LR has
            is to be kept, its noise too.
    """

    name: str
    parts: tuple[Degradation, ...]
    finest: float = 1.0

    def draw(self, rng: np.random.Generator) -> Degradation:
        """One of the parts, its ranges drawn."""
        return self.parts[rng.integers(len(self.parts))].draw(rng)

    def __call__(
        self, hr: np.ndarray, lr_size: Size, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """As `Degradation`."""
        rng = rng or rng_at(zlib.crc32(hr.tobytes()), 0)
        return self.draw(rng)(hr, lr_size, rng)

    @property
    def text(self) -> str:
        """In words."""
        finer = f"; in training, films up to {self.finest:g} times finer" if self.finest > 1 else ""
        return f"{self.name}: one of {'; '.join(part.text for part in self.parts)}{finer}"


LANCZOS = Degradation()
ROBUST = Mixture(
    "robust",
    (
        LANCZOS,
        Degradation("box", fill=(0.7, 1.0)),
        Degradation("box", blur=(0.1, 0.6)),
        Degradation(blur=(0.3, 1.0)),
        Degradation("point", blur=(0.0, 0.2)),
        Degradation(noise=(0.004, 0.012)),
        Degradation(noise=(0.01, 0.03)),
        Degradation("box", blur=(0.0, 0.5), quanta=(0.003, 0.025), noise=(0.0, 0.01)),
        Degradation(jpeg=(40, 95)),
        Degradation("box", blur=(0.0, 0.4), noise=(0.0, 0.015), jpeg=(60, 95)),
        Degradation("bicubic", quanta=(0.0, 0.01), jpeg2000=(38, 50)),
    ),
    finest=4.0,
)
NAMED: dict[str, Degradation | Mixture] = {
    "lanczos": LANCZOS,
    "cr": Degradation("box", blur=0.5, quanta=0.008, noise=0.003),
    "dr-binned": Degradation("box", fill=0.85, blur=0.2, quanta=0.006, noise=0.002),
    "photo": Degradation("bicubic", blur=0.6, noise=0.015, jpeg=80),
    "chat-jpeg": Degradation("bicubic", jpeg=60),
    "robust": ROBUST,
}


def named(name: str) -> Degradation | Mixture:
    """The degradation of that name; a `UserError` names those there are."""
    if name not in NAMED:
        raise UserError(f"degradation must be {', '.join(NAMED)}. Received: {name}")
    return NAMED[name]


def rng_at(seed: int, position: int) -> np.random.Generator:
    """What a draw at a position uses: a function of seed and position alone."""
    return np.random.Generator(np.random.Philox(key=[seed, position]))


def crop_pair(
    degradation: Degradation | Mixture,
    film: np.ndarray,
    window: tuple[int, int, int, int],
    scale: int,
    bits: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A window of a film and its LR image, without making all of it.

    Args:
        degradation: How LR is made.
        film: The whole film, integers of `bits` bits, shape (height, width).
        window: Top, left, height and width in LR pixels.
        scale: HR pixels per LR pixel.
        bits: Bit depth of film and result.
        rng: What noise and ranges are drawn from.

    Returns:
        LR, shape (window height, window width), and HR, `scale` times as large: integers of
        `bits` bits.
    """
    levels = (1 << bits) - 1
    spans = []
    for start, length, side in zip(window[:2], window[2:], film.shape, strict=True):
        first = max(0, start - MARGIN)
        last = min(side // scale, start + length + MARGIN)
        spans.append((first, last, start - first))
    (top, bottom, down), (left, right, across) = spans
    around = film[top * scale : bottom * scale, left * scale : right * scale]
    finest = getattr(degradation, "finest", 1.0)
    if finest > 1 and rng.uniform() < FINE_SHARE:
        around, degradation = _finer(around, finest, levels, rng), LANCZOS
    unit = around.astype(np.float32) / np.float32(levels)
    lr = round_to_bits(degradation(unit, (bottom - top, right - left), rng), bits) * levels
    lr = lr[down : down + window[2], across : across + window[3]]
    rows = slice(down * scale, (down + window[2]) * scale)
    columns = slice(across * scale, (across + window[3]) * scale)
    return np.round(lr).astype(film.dtype), around[rows, columns]


def _finer(stored: np.ndarray, finest: float, levels: int, rng: np.random.Generator) -> np.ndarray:
    """The middle of `stored`, enlarged to its size by up to `finest`, with a detector's noise."""
    factor = finest ** rng.uniform()
    inner = [round(side / factor) for side in stored.shape]
    top, left = ((side - part) // 2 for side, part in zip(stored.shape, inner, strict=True))
    middle = stored[top : top + inner[0], left : left + inner[1]]
    size = rng.uniform(*GRAIN)
    grain = rng.normal(0.0, rng.uniform(*FINE_NOISE), [round(side / size) for side in stored.shape])
    noise = levels * (1 - 1 / factor) * resize(grain, stored.shape)
    larger = resize(middle, stored.shape) + noise
    return np.round(np.clip(larger, 0, levels)).astype(stored.dtype)


@lru_cache(maxsize=256)
def _aperture(aperture: str, fill: float, size_in: int, size_out: int) -> np.ndarray:
    """Sampling along one axis without blur, float32, rows sum to 1."""
    if aperture == "lanczos":
        return lanczos_matrix(size_in, size_out).astype(np.float32)
    scale = size_in / size_out
    away = (np.arange(size_in) + 0.5)[None, :] - ((np.arange(size_out) + 0.5) * scale)[:, None]
    if aperture == "bicubic":
        x = np.abs(away) / scale
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    else:
        # How much of each HR pixel lies in the box; a point is a box of one HR pixel, or of the
        # two in the middle where their number is even.
        half = fill * scale / 2 if aperture == "box" else 0.5 + 0.5 * (scale % 2 == 0)
        weights = np.clip(half + 0.5 - np.abs(away), 0.0, min(1.0, 2 * half))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=256)
def _blur(sigma: float, mtf: tuple[tuple[float, float], ...], scale: int) -> np.ndarray:
    """Taps of the detector's blur at HR, float32, their sum 1."""
    reach = (MARGIN // 2) * scale if mtf else max(1, int(np.ceil(3.5 * sigma * scale)))
    place = np.arange(-reach, reach + 1) / scale
    if mtf:
        frequency = np.linspace(0, mtf[-1][0], 512)
        value = np.interp(frequency, *np.array(mtf).T)
        waves = np.cos(2 * np.pi * place[:, None] * frequency)
        taps = np.trapezoid(value * waves, frequency, axis=1)
    else:
        taps = np.exp(-0.5 * (place / sigma) ** 2)
    return (taps / taps.sum()).astype(np.float32)


def _through(lr: np.ndarray, levels: int, format: str, **options: Any) -> np.ndarray:
    """`lr` in [0, 1] once it was saved with that many levels and read again."""
    from PIL import Image

    stored = np.round(levels * lr).astype(np.uint8 if levels == 255 else np.uint16)
    file = io.BytesIO()
    Image.fromarray(stored).save(file, format, **options)
    with Image.open(file) as picture:
        return np.asarray(picture, np.float64) / levels


def degradation_name(degradation: Degrade | None) -> str:
    """What to call `degradation`: its attribute `text` if it has one, else its own name.

    None is the default, antialiased Lanczos.
    """
    if degradation is None:
        return DEFAULT
    text = getattr(degradation, "text", None)
    name = getattr(degradation, "__qualname__", type(degradation).__qualname__)
    return str(text or name.replace("<locals>.", ""))


def degradation_key(degradation: Degrade | None) -> str:
    """A hash of its name, its source and what it refers to, by which caches tell two apart."""
    if degradation is None:
        return DEFAULT
    function = degradation if inspect.isfunction(degradation) else type(degradation).__call__
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or compiled
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts, code.co_names) if code else degradation)
    cells = getattr(function, "__closure__", None) or ()
    parts = [
        degradation_name(degradation),
        source,
        *(repr(cell.cell_contents) for cell in cells),
        repr(getattr(function, "__defaults__", None)),
        repr(sorted(getattr(degradation, "__dict__", {}).items())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def degrade_with(
    degradation: Degrade, hr: np.ndarray, lr_size: tuple[int, int], bits: int
) -> np.ndarray:
    """The LR twin of `hr` (h, w) in [0, 1], clipped and rounded to `bits`; float64 in [0, 1].

    Raises:
        UserError: if `degradation` gives another shape, or values that are not finite.
    """
    lr = np.asarray(degradation(hr.astype(np.float32), lr_size))
    if lr.shape != tuple(lr_size) or not np.isfinite(lr).all():
        raise UserError(
            f"degradation must give finite pixels of shape {tuple(lr_size)}. Received: shape "
            f"{lr.shape}, from {degradation_name(degradation)}"
        )
    return round_to_bits(lr.astype(np.float64), bits)
