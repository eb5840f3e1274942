"""How fast LR/HR pairs are made, and how long a training step waits for them.

    python benchmarks/pipeline.py [FOLDER_OF_FILMS]

Without a folder it makes phantoms. Prints one table. What drawing a degradation for each crop
costs is processor time, of all cores: that of its batch beyond a cached one, over that of a
training step of the default networks. It changes less with what else runs than the rates do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf
from threadpoolctl import threadpool_limits

from xraysr.data.batches import training_batches
from xraysr.data.pipeline import PairCache, degrade
from xraysr.degradation import ROBUST, Mixture
from xraysr.films.index import index_films
from xraysr.pair import Pair
from xraysr.phantom.film import write_phantoms
from xraysr.training import TrainConfig
from xraysr.training.build import build_srgan

FILMS = 64
BATCH = 16
SECONDS = 8.0


def rates(batches: tf.data.Dataset) -> tuple[float, float]:
    """Images/s of a dataset of batches, and processor seconds for a batch, after a warm-up."""
    iterator = iter(batches)
    for _ in range(5):
        next(iterator)
    count, started, used = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        next(iterator)
        count += 1
    return count * BATCH / elapsed, (time.process_time() - used) / count


def on_the_fly(cache: PairCache) -> tf.data.Dataset:
    """Whole HR films from memory, each degraded anew by antialiased Lanczos."""

    def pair(hr, bits):
        hr = tf.cast(hr, tf.float32) / (2.0 ** tf.cast(bits, tf.float32) - 1.0)
        return degrade(hr, cache.pair.lr, bits), hr

    films = tf.data.Dataset.from_tensor_slices((cache.hr, cache.bits)).repeat()
    return films.map(pair, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)


def crops(cache: PairCache, drawn: Mixture | None = None) -> tf.data.Dataset:
    """Batches for training, 24->96: as cached, or made anew by what is drawn for each."""
    return training_batches([cache], batch=BATCH, crop=24, flips=True, seed=0, drawn=drawn)


def training_step(batches: tf.data.Dataset, pair: Pair) -> tuple[float, float]:
    """Part of the time in which a step waits for its batch, and processor seconds of a step."""
    step = tf.function(build_srgan(TrainConfig(pair, steps=1)).train_step)
    iterator = iter(batches)
    for _ in range(5):
        step(next(iterator))
    waited, count, started, used = 0.0, 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        before = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - before
        step(batch)
        count += 1
    return waited / elapsed, (time.process_time() - used) / count


def import_seconds() -> float:
    """Best of five `import xraysr` in fresh processes, the interpreter's start not counted."""
    code = "import time; t = time.perf_counter(); import xraysr; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True) for _ in range(5)]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if len(sys.argv) == 1:
            write_phantoms(films, FILMS)
        cache = PairCache.load(index_films(films).films[:FILMS], Pair.parse("128:512"))
    with threadpool_limits(1, "blas"):  # as in training
        (fly, _), (cached, used), (drawn, used_drawn) = map(
            rates, (on_the_fly(cache), crops(cache), crops(cache, ROBUST))
        )
        waits, step = training_step(crops(cache), cache.pair)
        waits_drawn, _ = training_step(crops(cache, ROBUST), cache.pair)
    cost = (used_drawn - used) / step
    rows = [
        ("512->128 on the fly, whole films", f"{fly:.0f} images/s"),
        ("cached crops, 24->96", f"{cached:.0f} images/s"),
        ("the same, `robust` drawn for each", f"{drawn:.0f} images/s"),
        ("drawing `robust` costs", f"{100 * cost:.1f} % of a training step"),
        ("training step waits for data", f"{100 * waits:.2f} % of its time"),
        ("the same, `robust` drawn", f"{100 * waits_drawn:.2f} % of its time"),
        ("`import xraysr`", f"{import_seconds():.3f} s"),
    ]
    print(f"\n| {len(cache)} films, batch {BATCH} | |\n|---|---|")
    for name, figure in rows:
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
