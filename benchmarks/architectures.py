"""Which network learns most in the same time: PSNR over Lanczos against training time.

    python benchmarks/architectures.py FILMS OUT [--minutes 3] [--only NAME ...]

Every candidate trains for the same processor time on the same batches, a mix of 32:128, 64:256
and 128:512 out of FILMS/train; only `crop 32` takes larger crops of the same films. Each is scored
on patients of that folder which it did not see. Writes OUT/architectures.json and draws
OUT/architectures.png; candidates already in the JSON file are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from rich.table import Table

from xraysr import index_films
from xraysr.data.batches import training_batches, whole_films
from xraysr.data.pipeline import PairCache
from xraysr.evaluation.evaluate import lanczos
from xraysr.evaluation.metrics import psnr
from xraysr.models.layers import LanczosUpsample, ResidualBlock, SubpixelUpsample
from xraysr.pair import PRESETS, Pair
from xraysr.progress import show

SCALE = 4
BATCH = 16
VALIDATION_FILMS = 24
CURVE_POINTS = 4


class ChannelAttention(layers.Layer):
    """Weighs channels by their mean over the image (squeeze and excitation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = layers.Dense(width // 8, activation="relu")
        self.excite = layers.Dense(width, activation="sigmoid")

    def call(self, inputs):
        return inputs * self.excite(self.squeeze(ops.mean(inputs, axis=(1, 2), keepdims=True)))


class Reparameterised(layers.Layer):
    """3x3, 1x1 and identity branches that are one 3x3 convolution after training; then ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = layers.Conv2D(width, 3, padding="same")
        self.point = layers.Conv2D(width, 1)

    def call(self, inputs):
        return ops.relu(self.wide(inputs) + self.point(inputs) + inputs)


def residual(kernel: int) -> Callable[[int], layers.Layer]:
    """Maker of residual blocks with kernels of another size."""

    class Block(layers.Layer):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first = layers.Conv2D(width, kernel, padding="same", activation="relu")
            self.second = layers.Conv2D(width, kernel, padding="same", kernel_initializer="zeros")

        def call(self, inputs):
            return inputs + self.second(self.first(inputs))

    return Block


class Attentive(ResidualBlock):
    """A residual block whose branch is weighed by channel attention before it is added."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.attention = ChannelAttention(width)

    def call(self, inputs, training=False):
        first, second = self.convolutions
        return inputs + self.attention(second(ops.relu(first(inputs))))


def plain(width: int) -> layers.Layer:
    """A convolution and ReLU."""
    return layers.Conv2D(width, 3, padding="same", activation="relu")


def network(
    block: Callable[[int], layers.Layer],
    depth: int,
    width: int,
    *,
    skip: str = "lanczos",
    stages: int = 1,
    long_skip: bool = False,
) -> keras.Model:
    """A candidate. `stages`: steps in which it enlarges; `long_skip`: from head to body's end."""
    image = keras.Input((None, None, 1))
    features = layers.Conv2D(width, 3, padding="same", activation=None if long_skip else "relu")
    x = start = features(image)
    for _ in range(depth):
        x = block(width)(x)
    if long_skip:
        x = layers.Conv2D(width, 3, padding="same")(x) + start
    for stage in range(stages - 1):
        x = SubpixelUpsample(width >> (stage + 1), 2)(x)
    if stages > 1:
        x = SubpixelUpsample(max(8, width >> stages), 2)(x)
        x = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros", dtype="float32")(x)
    else:
        out = layers.Conv2D(
            SCALE**2, 3, padding="same", kernel_initializer="zeros", dtype="float32"
        )
        x = ops.depth_to_space(out(x), SCALE)
    if skip == "lanczos":
        base = LanczosUpsample(SCALE, dtype="float32")(image)
    else:
        base = layers.UpSampling2D(SCALE, dtype="float32")(image)
    return keras.Model(image, base + x)


CANDIDATES: dict[str, tuple[Callable[[], keras.Model], int, float]] = {
    # name: (network, side of the LR crop, peak learning rate)
    "residual 16x64": (lambda: network(ResidualBlock, 16, 64, stages=2, long_skip=True), 24, 1e-3),
    "residual 16x64, one stage": (lambda: network(ResidualBlock, 16, 64, long_skip=True), 24, 1e-3),
    "residual 16x64, attention": (
        lambda: network(Attentive, 16, 64, stages=2, long_skip=True), 24, 1e-3),
    "residual 16x64, crop 32": (
        lambda: network(ResidualBlock, 16, 64, stages=2, long_skip=True), 32, 1e-3),
    "residual 6x64, 5x5": (
        lambda: network(residual(5), 6, 64, stages=2, long_skip=True), 24, 1e-3),
    "residual 8x64": (lambda: network(ResidualBlock, 8, 64, stages=2, long_skip=True), 24, 1e-3),
    "residual 8x32": (lambda: network(ResidualBlock, 8, 32, stages=2, long_skip=True), 24, 1e-3),
    "plain 5x32": (lambda: network(plain, 5, 32), 24, 1e-3),
    "plain 5x32, nearest skip": (lambda: network(plain, 5, 32, skip="nearest"), 24, 1e-3),
    "re-parameterised 5x32": (lambda: network(Reparameterised, 5, 32), 24, 1e-3),
    "re-parameterised 5x32, nearest skip": (
        lambda: network(Reparameterised, 5, 32, skip="nearest"), 24, 1e-3),
    "residual 2x32": (lambda: network(ResidualBlock, 2, 32, long_skip=True), 24, 1e-3),
}  # fmt: skip


def train(
    name: str, films: dict[str, PairCache], validation: dict[str, PairCache], minutes: float
) -> dict:
    """Trains one candidate; returns its size, speed and curve."""
    make, crop, peak = CANDIDATES[name]
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    model = make()
    optimizer = keras.optimizers.Adam(peak)
    score = tf.function(lambda lr: tf.clip_by_value(model(lr), 0, 1))

    @tf.function
    def step(lr, hr):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(model(lr, training=True) - hr))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    streams = [
        iter(training_batches([each], batch=BATCH, crop=crop, flips=True, seed=0))
        for each in films.values()
    ]
    reference = {pair: mean_psnr(cache, None) for pair, cache in validation.items()}
    budget, used, steps, curve = 60 * minutes, 0.0, 0, []
    step(*next(streams[0]))  # tracing is not training time
    while used < budget:
        optimizer.learning_rate.assign(
            peak
            * min(1, (steps + 1) / 100)
            * (0.01 + 0.495 * (1 + math.cos(math.pi * used / budget)))
        )
        started = time.process_time()
        step(*next(streams[steps % len(streams)]))
        used += (time.process_time() - started) / 2  # of two cores
        steps += 1
        if used >= budget * (len(curve) + 1) / CURVE_POINTS:
            gains = {
                pair: mean_psnr(cache, score) - reference[pair]
                for pair, cache in validation.items()
            }
            curve.append({"minutes": used / 60, "steps": steps, **gains})
    return {
        "parameters": model.count_params(),
        "images_per_second": steps * BATCH / used,
        "curve": curve,
    }


def draw(results: dict, path: Path) -> None:
    """Gain, the mean of the pairs, over training time and over parameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    time_axis, size_axis = figure.subplots(1, 2, sharey=True)
    for name, result in results.items():
        gains = [np.mean([point[pair] for pair in PRESETS]) for point in result["curve"]]
        (line,) = time_axis.plot(
            [point["minutes"] for point in result["curve"]], gains, marker=".", label=name
        )
        size_axis.plot(result["parameters"], gains[-1], marker="o", color=line.get_color())
    time_axis.set(xlabel="training time in minutes on 2 cores", ylabel="dB over Lanczos")
    size_axis.set(xlabel="parameters", xscale="log")
    time_axis.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def mean_psnr(cache: PairCache, network: Callable | None) -> float:
    """Mean PSNR in dB on the films of `cache`, of a network or, without one, of Lanczos."""
    scores = []
    for lr, hr in whole_films(cache, 1):
        if network is None:
            sr = lanczos(lr[0, ..., 0].numpy(), cache.pair.hr)
        else:
            sr = network(lr).numpy()[0, ..., 0]
        scores.append(psnr(sr, hr[0, ..., 0].numpy(), SCALE))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "architectures.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    index = index_films(arguments.films)
    pairs = [Pair.parse(pair) for pair in PRESETS]
    films = {str(pair): PairCache.load(index.require("train"), pair) for pair in pairs}
    validation = {
        str(pair): PairCache.load(index.require("val")[:VALIDATION_FILMS], pair) for pair in pairs
    }
    for name in arguments.only:
        if name not in results:
            results[name] = train(name, films, validation, arguments.minutes)
            path.write_text(json.dumps(results, indent=1))
            print(name, results[name]["curve"][-1], flush=True)
    table = Table(title=f"Gain over Lanczos in dB on unseen patients, {arguments.minutes} minutes")
    for column in ("network", "parameters", "images/s", *PRESETS):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, result in results.items():
        last = result["curve"][-1]
        table.add_row(
            name,
            f"{result['parameters']:,}",
            f"{result['images_per_second']:.0f}",
            *(f"{last[pair]:+.2f}" for pair in PRESETS),
        )
    show(table)
    draw(results, arguments.out / "architectures.png")


if __name__ == "__main__":
    main()
