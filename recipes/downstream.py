"""Does super-resolution help a classifier? AUC on HR, interpolated and super-resolved films.

    python recipes/downstream.py OUT FILMS [FILMS ...] --models base-x4 gan-x4 [--write]

Each FILMS holds {train,test}/{NORMAL,PNEUMONIA} folders. For each of them and each HR size that
most of its films reach, a classifier learns from HR films of split train to tell PNEUMONIA from
NORMAL: logistic regression on the mean and the spread of every channel of `RadiographFeatures`,
its L2 penalty chosen on split val. It then judges the test films as HR and as every method
restores them from LR. Prints the AUC with 95 % intervals over patients, writes
OUT/downstream.json, and with --write puts the figures, and in words whether it helped, into the
cards of the presets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from auc import auc_interval
from rich.table import Table

from xraysr import index_films
from xraysr.data.pipeline import film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import enlarge, to_float
from xraysr.evaluation.report import Interval
from xraysr.files import write_json
from xraysr.films.finder import Skipped
from xraysr.films.index import FilmIndex
from xraysr.io import read
from xraysr.models.radiograph_features import RadiographFeatures
from xraysr.pair import PRESETS, Pair
from xraysr.presets.card import ModelCard, card_path
from xraysr.progress import show, track
from xraysr.upscale import Upscaler, load

NEGATIVE, POSITIVE = "NORMAL", "PNEUMONIA"
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
NEWTON_STEPS = 25
CLASSIFIER = (
    "logistic regression on pooled RadiographFeatures, trained on HR films of split train; "
    "AUC of NORMAL against PNEUMONIA on test films, 95 % interval over patients"
)

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Classifier:
    """Logistic regression on standardised features.

    Args:
        mean: Of each feature on the training films.
        spread: Standard deviation, the same.
        weights: One for each feature, and the bias.
    """

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, positive: np.ndarray, penalty: float) -> Classifier:
        """Minimises cross-entropy and `penalty` / 2 times the squared weights, by Newton."""
        mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        x = _with_one((features - mean) / spread)
        penalties = np.diag([*[penalty] * features.shape[1], 1e-6])
        weights = np.zeros(x.shape[1])
        for _ in range(NEWTON_STEPS):
            chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
            slope = x.T @ (chance - positive) + penalties @ weights
            curvature = (x.T * (chance * (1 - chance))) @ x + penalties
            weights -= np.linalg.solve(curvature, slope)
        return cls(mean, spread, weights)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Log odds of PNEUMONIA, shape (n,)."""
        return _with_one((features - self.mean) / self.spread) @ self.weights

    def cross_entropy(self, features: np.ndarray, positive: np.ndarray) -> float:
        """Mean cross-entropy in nats."""
        scores = self.scores(features)
        return float(np.mean(np.logaddexp(0, scores) - positive * scores))


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.c_[features, np.ones(len(features))]


def pooled_features() -> Features:
    """From one image (height, width), float32 in [0, 1], to its features, shape (n,)."""
    extractor = RadiographFeatures.shipped()

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 1), tf.float32)])
    def pool(image):
        maps = extractor(image)
        parts = [f(each[0], (0, 1)) for each in maps for f in (tf.reduce_mean, tf.math.reduce_std)]
        return tf.concat(parts, axis=0)

    return lambda image: pool(image[None, ..., None].astype(np.float32)).numpy()


def pairs_of(index: FilmIndex) -> list[Pair]:
    """The x4 pairs whose HR size nine test films in ten reach."""
    sides = [min(read(film.path).size) for film in index.require("test")]
    reached = np.quantile(sides, 0.1)
    return [pair for pair in map(Pair.parse, PRESETS) if pair.hr[0] <= reached]


def learn(index: FilmIndex, pair: Pair, features: Features) -> Classifier:
    """The classifier of one HR size, the one of `PENALTIES` that is best on split val."""

    def split(name: str) -> tuple[np.ndarray, np.ndarray]:
        films = index.require(name)
        pairs = track(film_pairs(films, pair, "crop", []), f"{name} at {pair.hr[0]}", len(films))
        rows = [(features(to_float(stored)[1]), _is_positive(stored.film)) for stored in pairs]
        return np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows])

    train, val = split("train"), split("val")
    candidates = [Classifier.fit(*train, penalty) for penalty in PENALTIES]
    return min(candidates, key=lambda candidate: candidate.cross_entropy(*val))


def judge(
    index: FilmIndex, pair: Pair, upscalers: Mapping[str, Upscaler], features: Features
) -> dict[str, Any]:
    """What a classifier that learned from HR makes of the test films.

    Returns:
        Under `auc`, by method: `auc`, `low`, `high` and `n`; under `over_bicubic`, by model, the
        `mean`, `low` and `high` of the difference in AUC.
    """
    classifier = learn(index, pair, features)
    films, skipped = index.require("test"), list[Skipped]()
    rows: dict[str, list[np.ndarray]] = {}
    positive, patients = [], []
    for stored in track(film_pairs(films, pair, "crop", skipped), f"test {pair}", len(films)):
        lr, hr = to_float(stored)
        for method, image in {"HR": hr, **enlarge(upscalers, lr, pair)}.items():
            rows.setdefault(method, []).append(features(image))
        positive.append(_is_positive(stored.film))
        patients.append(stored.film.patient)
    for each in skipped:
        print(each)
    scores = {method: classifier.scores(np.array(found)) for method, found in rows.items()}
    truth = np.array(positive)
    return {
        "auc": {
            method: {**_rounded(auc_interval(found, truth, patients), "auc"), "n": len(truth)}
            for method, found in scores.items()
        },
        "over_bicubic": {
            name: _rounded(auc_interval(scores[name], truth, patients, scores["bicubic"]), "mean")
            for name in upscalers
        },
    }


def _is_positive(film) -> bool:
    if film.label not in (NEGATIVE, POSITIVE):
        raise UserError(
            f"Films must lie in folders named {NEGATIVE} and {POSITIVE}. Received: {film.path}"
        )
    return film.label == POSITIVE


def _rounded(interval: Interval, middle: str) -> dict[str, float]:
    found = {key: round(value, 4) for key, value in asdict(interval).items()}
    return {middle: found["mean"], "low": found["low"], "high": found["high"]}


def finding(name: str, results: dict[str, dict[str, Any]]) -> str:
    """In words, where a model helped the classifier, over bicubic interpolation."""
    helped, harmed, neither = [], [], []
    for data, pairs in results.items():
        for pair, result in pairs.items():
            gain = result["over_bicubic"][name]
            text = f"{data} {pair} {gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
            kind = helped if gain["low"] > 0 else harmed if gain["high"] < 0 else neither
            kind.append(text)
    parts = {
        "helps the classifier (AUC over bicubic)": helped,
        "makes no difference to it that can be told from chance": neither,
        "harms it": harmed,
    }
    return f"{name} " + "; ".join(f"{what}: {', '.join(at)}" for what, at in parts.items() if at)


def entry(name: str, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the card of preset `name` says under `downstream`."""
    figures = {
        data: {pair: result["auc"] for pair, result in pairs.items()}
        for data, pairs in results.items()
    }
    return {"classifier": CLASSIFIER, "finding": finding(name, results), **figures}


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Prints the AUC of every method."""
    rows = [
        (f"{data} {pair}", result["auc"]) for data, pairs in results.items()
        for pair, result in pairs.items()
    ]  # fmt: skip
    table = Table(title=f"Downstream: {CLASSIFIER}")
    table.add_column("test films")
    for method in rows[0][1]:
        table.add_column(method, justify="right")
    for name, found in rows:
        cells = (f"{each['auc']:.3f} [{each['low']:.3f}, {each['high']:.3f}]"
                 for each in found.values())  # fmt: skip
        n = next(iter(found.values()))["n"]
        table.add_row(f"{name}, n = {n}", *cells)
    show(table)


def main() -> None:
    """Learns, judges, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["base-x4", "gan-x4"])
    parser.add_argument("--write", action="store_true", help="into the cards of the presets")
    arguments = parser.parse_args()
    upscalers = {Path(model).stem: load(model) for model in arguments.models}
    features = pooled_features()
    results: dict[str, dict[str, Any]] = {}
    for folder in arguments.films:
        index = index_films(folder)
        pairs = pairs_of(index)
        results[folder.name] = {
            str(pair): judge(index, pair, upscalers, features) for pair in pairs
        }
    print_table(results)
    for name in upscalers:
        print(finding(name, results))
    write_json(arguments.out / "downstream.json", results)
    for name in upscalers if arguments.write else ():
        replace(ModelCard.load(name), downstream=entry(name, results)).save(card_path(name))


if __name__ == "__main__":
    main()
