"""How sharp and how natural results look: detail, feature distance and NIQE beside fidelity.

    python benchmarks/perceptual.py FILMS OUT MODEL [MODEL ...] [--pair 64:256] [--write]

FILMS has train and test folders; MODEL is a preset, a .keras file or a run. For each pair, HR,
the interpolations and the models are scored on the first test films (--films): PSNR,
LR-consistency, power in the top octave over that of HR, feature distance to HR, and NIQE fitted
to HR films of split train; means with 95 % intervals over patients. The ratio in the top octave
is given twice: as the mean of the films' ratios, in which films with little fine detail weigh as
much as any, and as the ratio of the mean spectra, in which films with much of it weigh most.
Writes OUT/perceptual.json and draws the radial power spectra in OUT/spectrum.png. With --write
the means go into the cards of the presets.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from niqe import NIQE
from rich.table import Table
from spectrum import NYQUIST, power_spectrum, top_octave_ratio

from xraysr import index_films
from xraysr.data.pipeline import film_pairs
from xraysr.evaluation.evaluate import enlarge, to_float
from xraysr.evaluation.metrics import crop_border, lr_consistency, psnr
from xraysr.evaluation.perceptual import feature_distance
from xraysr.evaluation.report import Interval, bootstrap
from xraysr.files import make_folder, whole_file, write_json
from xraysr.films.finder import Film
from xraysr.films.index import FilmIndex
from xraysr.pair import PRESETS, Pair
from xraysr.presets.card import ModelCard, card_path, names
from xraysr.progress import show, track
from xraysr.upscale import Upscaler, load

NIQE_FILMS = 120
HEAD = {
    "psnr": ("PSNR dB", ".2f"),
    "lr_consistency": ("LR-consistency dB", ".1f"),
    "top_octave": ("top octave / HR", ".2f"),
    "top_octave_of_means": ("of mean spectra", ".2f"),
    "feature_distance": ("feature distance", ".3f"),
    "niqe": ("NIQE", ".2f"),
}

Scores = dict[str, dict[str, list[float]]]  # by method and metric, film by film
Spectra = dict[str, list[np.ndarray]]


def fit_niqe(index: FilmIndex, pair: Pair) -> NIQE:
    """NIQE of films of split train at HR size, evenly taken."""
    films = index.require("train")
    films = films[:: max(1, len(films) // NIQE_FILMS)]
    pairs = track(film_pairs(films, pair, "crop", []), f"NIQE {pair.hr[0]}", len(films))
    return NIQE.fit(crop_border(to_float(stored)[1], pair.scale) for stored in pairs)


def measure(
    films: Sequence[Film], pair: Pair, upscalers: Mapping[str, Upscaler], niqe: NIQE
) -> tuple[Scores, Spectra, list[str]]:
    """Scores and power spectra of every method on every film, and the films' patients."""
    scores: Scores = {}
    spectra: Spectra = {}
    patients = []
    for stored in track(film_pairs(films, pair, "crop", []), f"Scoring {pair}", len(films)):
        lr, hr = to_float(stored)
        patients.append(stored.film.patient)
        for method, image in {"HR": hr, **enlarge(upscalers, lr, pair)}.items():
            inner = crop_border(image, pair.scale)
            found = {
                "lr_consistency": lr_consistency(image, lr),
                "top_octave": top_octave_ratio(image, hr, pair.scale),
                "feature_distance": feature_distance(image, hr, pair.scale),
                "niqe": niqe.score(inner),
            }
            if method != "HR":
                found["psnr"] = psnr(image, hr, pair.scale)
            for metric, value in found.items():
                scores.setdefault(method, {}).setdefault(metric, []).append(value)
            spectra.setdefault(method, []).append(power_spectrum(inner)[1])
    return scores, spectra, patients


def summary(
    scores: Scores, spectra: Spectra, patients: list[str]
) -> dict[str, dict[str, Interval]]:
    """By method and metric: mean with its interval."""
    return {
        method: {
            **{metric: bootstrap(values, patients) for metric, values in metrics.items()},
            "top_octave_of_means": top_octave_of_means(spectra[method], spectra["HR"], patients),
        }
        for method, metrics in scores.items()
    }


def top_octave_of_means(
    of_sr: list[np.ndarray], of_hr: list[np.ndarray], patients: list[str]
) -> Interval:
    """Power in the top octave of the mean spectrum of SR, over that of HR.

    Its interval is that of the linearised ratio (Cochran, Sampling Techniques, 1977, chapter 6).
    """
    top = frequencies(len(of_hr[0])) >= NYQUIST / 2
    sr, hr = (np.mean(np.array(each)[:, top], axis=1) for each in (of_sr, of_hr))
    ratio = sr.mean() / hr.mean()
    return bootstrap(ratio + (sr - ratio * hr) / hr.mean(), patients)


def frequencies(rings: int) -> np.ndarray:
    """Those of a spectrum of so many rings, in cycles per HR pixel."""
    return NYQUIST * np.arange(1, rings + 1) / rings


def title(pair: Pair, patients: list[str]) -> str:
    """What the figures of a pair hold for."""
    return f"{pair}: {len(patients)} test films of {len(set(patients))} patients"


def print_table(name: str, found: dict[str, dict[str, Interval]]) -> None:
    """Prints one pair."""
    table = Table(title=name)
    table.add_column("method")
    for text, _ in HEAD.values():
        table.add_column(text, justify="right")

    def cell(interval: Interval | None, style: str) -> str:
        if interval is None:
            return ""
        mean, low, high = (f"{end:{style}}" for end in asdict(interval).values())
        return f"{mean} [{low}, {high}]"

    for method, metrics in found.items():
        table.add_row(
            method, *(cell(metrics.get(metric), style) for metric, (_, style) in HEAD.items())
        )
    show(table)


def draw(panels: Mapping[str, tuple[Pair, Spectra]], path: Path) -> None:
    """Draws the geometric mean of the films' spectra, one panel for each pair."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(panels), 4.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, (pair, spectra)) in zip(axes, panels.items(), strict=True):
        for method, each in spectra.items():
            mean = np.exp(np.mean(np.log(np.maximum(each, 1e-12)), axis=0))
            color = "black" if method == "HR" else None
            axis.plot(frequencies(len(mean)), mean, label=method, color=color)
        axis.axvspan(NYQUIST / 2, NYQUIST, color="gray", alpha=0.12)
        axis.axvline(NYQUIST / pair.scale, color="gray", linestyle="--", linewidth=0.8)
        axis.set(yscale="log", xlim=(0, NYQUIST), title=name, xlabel="cycles per HR pixel")
    axes[0].set_ylabel("power, mean over films and directions")
    axes[0].legend()
    figure.supxlabel("shaded: the top octave; dashed: the finest detail LR can hold", fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def write_cards(results: Mapping[str, Any], films: str, models: Sequence[str]) -> None:
    """Puts the means of all methods into the cards of those models that are presets."""
    figures = {
        f"{films}, {name}": {
            method: {metric: round(value["mean"], 3) for metric, value in metrics.items()}
            for method, metrics in found.items()
        }
        for name, found in results.items()
    }
    for name in set(models) & set(names()):
        replace(ModelCard.load(name), perceptual=figures).save(card_path(name))


def main() -> None:
    """Scores, prints, writes, draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FILMS")
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--pair", action="append", metavar="LR:HR")
    parser.add_argument("--films", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="into the cards of the presets")
    arguments = parser.parse_args()
    index, out = index_films(arguments.folder), make_folder(arguments.out)
    upscalers = {Path(model).stem: load(model) for model in arguments.models}
    results, panels = {}, {}
    for pair in map(Pair.parse, arguments.pair or PRESETS):
        films = index.require("test")[: arguments.films]
        scores, spectra, patients = measure(films, pair, upscalers, fit_niqe(index, pair))
        name, found = title(pair, patients), summary(scores, spectra, patients)
        print_table(name, found)
        panels[name] = (pair, spectra)
        results[name] = {
            method: {metric: asdict(interval) for metric, interval in metrics.items()}
            for method, metrics in found.items()
        }
    write_json(out / "perceptual.json", results)
    draw(panels, out / "spectrum.png")
    if arguments.write:
        write_cards(results, arguments.folder.name, arguments.models)


if __name__ == "__main__":
    main()
