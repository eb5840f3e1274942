"""The gate: what a film is like, and whether there is anything to win by enlarging it.

Its judge is NumPy alone, so that it runs on the edge. It looks at the power spectrum of blocks of
16 x 16 pixels. Noise is white and lies everywhere, detail falls with frequency and lies in places:
linear fits on the logarithms tell how much noise there is, and whether a blur or an enlargement
took the finest detail away. JPEG shows in the cosine transform on its own grid of 8 x 8 pixels,
whose coefficients it rounded to 0. What the fits are was learned by recipes/gate.py from LR
images of the films that the presets learned from, and stands in presets/gate.json.

Reference:
    Wallace, The JPEG still picture compression standard, IEEE Trans. Consum. Electron. 38 (1992);
    Welch, IEEE Trans. Audio Electroacoust. 15 (1967) 70-73, for the mean over windowed blocks
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.lanczos import resize
from xraysr.presets.card import HOME

FITS = HOME / "gate.json"
SIDE = 16  # pixels of a block
MOST = 400  # blocks that are looked at, spread over the film
FLAT = 1 / 255  # blocks of less contrast say nothing: black borders, burnt-out air
NYQUIST = 5  # the band of 7 cycles in 16 pixels, of those from 2 to 9
THUMB = 16  # pixels of the view that tells what a film shows
JPEG_WINDOW = 136  # pixels in the middle in which JPEG's grid is looked for
ZERO = 1 / 255  # a coefficient below it counts as 0
JPEG_SHARE = 0.2  # more zeros on the grid than beside it; without JPEG at most 0.15 were found
LEAST_GAIN = 0.3  # dB; below it a film is limited by its detector


@dataclass(frozen=True)
class Finding:
    """One thing in which a film is not what the clean presets learned.

    Args:
        code: What kind of thing it is, as notices have it.
        text: In a few words, with the figure.
        advice: What follows from it.
        degraded: Whether it is what the robust presets learned.
    """

    code: str
    text: str
    advice: str = ""
    degraded: bool = False


@dataclass(frozen=True)
class Judgement:
    """What the gate sees in a film.

    Args:
        noise: Standard deviation of its noise, in units of [0, 1].
        headroom: Power of its finest detail (7 cycles in 16 pixels) over that of the noise, in
            dB. Where nothing stands above noise, it is 0 or less.
        gain: PSNR over Lanczos interpolation in dB that base-x4 reached on films of that headroom.
        findings: In what it is unlike the films that the clean presets learned.
    """

    noise: float
    headroom: float
    gain: float
    findings: tuple[Finding, ...]


def judge(pixels: np.ndarray) -> Judgement | None:
    """Judges a film.

    Args:
        pixels: float32 in [0, 1], shape (height, width).

    Returns:
        None for a film that is smaller than two blocks a side, or flat nearly everywhere: there
        is nothing to go by.
    """
    found = features(pixels)
    if found is None:
        return None
    fits = read_fits()
    x = (found - fits["mean"]) / fits["scale"]
    both = np.concatenate([x, x * x])
    noise = float(10 ** _linear(fits["noise"], both))
    headroom = 10 * float(found[_mean_band(NYQUIST)] - 2 * np.log10(noise))
    gain = float(np.interp(headroom, *np.transpose(fits["gain"])))
    findings = []
    if noise > fits["noise"]["threshold"]:
        findings.append(Finding("noise", f"noise of {100 * noise:.1f} %", degraded=True))
    if jpeg_zeros(pixels) > JPEG_SHARE:
        findings.append(Finding("jpeg", "JPEG compression", degraded=True))
    if _linear(fits["enlarged"], x) > fits["enlarged"]["threshold"]:
        said = "no detail at the finest frequencies, as if enlarged by a program before"
        findings.append(Finding("enlarged-before", said, degraded=True))
    elif _linear(fits["blur"], x) > fits["blur"]["threshold"]:
        sigma = max(0.4, float(_linear(fits["blur_sigma"], both)))
        findings.append(Finding("blur", f"blur of about {sigma:.1f} pixels", degraded=True))
    if gain < LEAST_GAIN:
        said = f"its finest detail stands {headroom:.0f} dB above its noise"
        advice = (
            ": the film is limited by its detector, and enlarging adds no true detail; base-x4 "
            f"gains about {gain:.1f} dB over interpolation on such films"
        )
        findings.append(Finding("detector-limited", said, advice))
    findings += _shown(pixels, fits)
    return Judgement(noise, headroom, gain, tuple(findings))


def features(pixels: np.ndarray) -> np.ndarray | None:
    """Logarithms (base 10) of the power in bands of 2 to 9 cycles in 16 pixels, in units of [0, 1].

    Of each band the lowest decile over blocks, the median, the highest decile and the mean: 4 x 8
    numbers, float64. White noise of standard deviation s has the power s^2 in every band. None
    where there are fewer than 4 blocks that are not flat.
    """
    step = SIDE // 2
    if min(pixels.shape) < 2 * SIDE:
        return None
    blocks = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE))[::step, ::step]
    every = max(1, int(np.ceil(np.sqrt(blocks.shape[0] * blocks.shape[1] / MOST))))
    some = blocks[::every, ::every].reshape(-1, SIDE, SIDE).astype(np.float64)
    some = some[some.std(axis=(1, 2)) > FLAT]
    if len(some) < 4:
        return None
    window, bands = _window()
    some -= some.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(some * window)) ** 2
    power = np.stack([power[:, band].mean(axis=1) for band in bands], axis=1) + 1e-9
    deciles = np.quantile(np.log10(power), (0.1, 0.5, 0.9), axis=0)
    return np.concatenate([*deciles, np.log10(power.mean(axis=0))])


def _mean_band(band: int) -> int:
    return 3 * 8 + band


@cache
def _window() -> tuple[np.ndarray, list[np.ndarray]]:
    """A Hann window of unit power, and the places of the bands in a transform of a block."""
    taper = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(taper, taper)
    window /= np.sqrt((window**2).sum())
    cycles = np.fft.fftfreq(SIDE) * SIDE
    radius = np.hypot(cycles[:, None], cycles[None, :])
    bands = [(radius >= k - 0.5) & (radius < k + 0.5) for k in range(2, 9)]
    return window, [*bands, radius >= 8.5]


def jpeg_zeros(pixels: np.ndarray) -> float:
    """How much larger the share of cosine coefficients near 0 is on JPEG's grid than beside it.

    All 64 places that a grid of 8 x 8 pixels may have are tried, as a film may have been cropped.

    Returns:
        0 to 1: at most 0.15 on films that never were a JPEG file, 0.25 and more on those that were.
    """
    top, left = (max(0, side - JPEG_WINDOW) // 16 * 8 for side in pixels.shape)
    middle = pixels[top : top + JPEG_WINDOW, left : left + JPEG_WINDOW].astype(np.float64)
    if min(middle.shape) < 2 * 8:
        return 0.0
    shares = []
    order = np.arange(8)
    cosines = np.cos(np.pi * (2 * order + 1) * order[:, None] / 16) / 2
    cosines[0] /= np.sqrt(2)
    fine = order[:, None] + order >= 3
    for place in range(64):
        part = middle[place // 8 :, place % 8 :]
        rows, columns = (side // 8 for side in part.shape)
        blocks = part[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8).swapaxes(1, 2)
        blocks = blocks[blocks.std(axis=(2, 3)) > FLAT]
        if len(blocks) < 3:
            return 0.0
        shares.append(float((np.abs(cosines @ blocks @ cosines.T)[:, fine] < ZERO).mean()))
    best = int(np.argmax(shares))
    return shares[best] - float(np.mean(shares[:best] + shares[best + 1 :]))


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """The film as 16 x 16 pixels in one row, of mean 0 and deviation 1, float64."""
    small = resize(pixels, (THUMB, THUMB)).ravel()
    return (small - small.mean()) / max(float(small.std()), 1e-6)


def _shown(pixels: np.ndarray, fits: dict[str, Any]) -> list[Finding]:
    """Whether it shows a chest, and the right way round."""
    view = thumbnail(pixels)
    advice = ": invert it first, for the presets learned from films with bright bones"
    if inverted := _linear(fits["inverted"], view) > fits["inverted"]["threshold"]:
        view = -view
    found = [Finding("inverted", "bones look dark", advice)] if inverted else []
    if unlike(view, fits["chest"]) > fits["chest"]["threshold"]:
        advice = ": the presets learned from frontal chest films"
        return [Finding("unlike-training", "it looks like no whole chest film", advice)]
    return found


def unlike(view: np.ndarray, chest: dict[str, Any]) -> float:
    """Root mean square of what the principal components of chest films leave of a thumbnail."""
    away = view - chest["mean"]
    return float(
        np.sqrt(np.mean((away - chest["components"].T @ (chest["components"] @ away)) ** 2))
    )


def _linear(fit: dict[str, Any], x: np.ndarray) -> float:
    return float(fit["weights"] @ x + fit["bias"])


@cache
def read_fits(path: Path = FITS) -> dict[str, Any]:
    """What recipes/gate.py wrote, lists as arrays."""

    def arrays(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: arrays(value) for key, value in content.items()}
        return np.array(content, np.float64) if isinstance(content, list) else content

    return arrays(json.loads(path.read_text("utf-8")))
