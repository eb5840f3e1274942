"""Run by test_distribution.py in a process of its own, because the CPU is split only once.

    python replica_cases.py FILMS OUT

Each case trains the same networks on the same films on one device and on two, and writes what it
ended with to `<case>_<devices>.npz`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from xraysr.data.batches import whole_films
from xraysr.data.pipeline import PairCache
from xraysr.films.index import index_films
from xraysr.models import PatchDiscriminator, SRResNet
from xraysr.training import SRGAN, TrainConfig, build
from xraysr.training.devices import choose_strategy
from xraysr.training.losses import ADVERSARIAL_LOSSES
from xraysr.training.trainer import Trainer

STEPS = 5
LEARNING_RATE = 2e-4
CONFIG = TrainConfig(
    "16:64", steps=STEPS, depth=1, width=8, batch=8, crop=8, batch_norm=True, clip_norm=0.01,
    label_smoothing=0.1, adversarial_weight=0.1,
)  # fmt: skip
CASES = {
    "bce": CONFIG,
    "relativistic": replace(
        CONFIG, adversarial_loss="relativistic", r1_weight=0.01, spectral_norm=True
    ),
}


def noisy_weights(network: keras.Model) -> list[np.ndarray]:
    """Weights that are no longer those of plain Lanczos; variances stay positive."""
    noise = np.random.default_rng(1)
    weights = [w + noise.normal(0, 0.05, w.shape) for w in network.get_weights()]
    return [np.abs(w) if w.ndim == 1 else w for w in weights]


def small_discriminator(config: TrainConfig) -> PatchDiscriminator:
    """Like that of a run with fewer layers, because tracing graphs takes most of the time."""
    discriminator = PatchDiscriminator(stages=2, filters=8, spectral_norm=config.spectral_norm)
    discriminator.build((None, None, None, 1))
    return discriminator


def trainer_of(config, films, strategy) -> Trainer:
    """A trainer in the adversarial phase.

    Adam divides each gradient by its size: with its usual epsilon, the rounding error of a
    gradient that should be zero would become a whole step. A larger one keeps it what it is.
    """
    keras.utils.set_random_seed(0)
    build._discriminator = small_discriminator
    with strategy.scope():
        srgan = build.build_srgan(config)
    trainer = Trainer(config, srgan, *films, strategy)
    srgan.generator.set_weights(noisy_weights(srgan.generator))
    srgan.averaged.set_weights(srgan.generator.get_weights())
    for optimizer in (srgan.optimizer, srgan.discriminator_optimizer):
        optimizer.inner_optimizer.epsilon = 1e-3
        optimizer.learning_rate.assign(LEARNING_RATE)
    srgan.phase = "adversarial"
    return trainer


def state(srgan: SRGAN) -> dict[str, np.ndarray]:
    """Every variable as `part/number/replica`."""
    return {
        f"{part}/{number:03d}/{replica}": copy.numpy()
        for part, variables in srgan.checkpoint_parts().items()
        for number, variable in enumerate(variables)
        for replica, copy in enumerate(getattr(variable, "values", (variable,)))
    }


def metrics(srgan: SRGAN) -> dict[str, float]:
    """Mean losses since the last call."""
    means = {name: float(tracker.result()) for name, tracker in srgan.trackers.items()}
    srgan.reset_metrics()
    return means


def poisoned(batch, strategy):
    """`batch` with NaN in place of the images of the second device."""

    def part(context):
        index = context.replica_id_in_sync_group
        lr, hr = (strategy.experimental_local_results(each)[index] for each in batch)
        return (lr * np.nan, hr * np.nan) if index else (lr, hr)

    return strategy.experimental_distribute_values_from_function(part)


def run_case(case, config, films, out, devices, strategy) -> None:
    trainer = trainer_of(config, films, strategy)
    srgan, step, batches = trainer.srgan, trainer._compiled_step(), trainer._batches()
    first = state(srgan)
    for number in range(STEPS):
        step(next(batches))
        trainer.step += 1
        if case == "bce" and devices == 2:
            np.savez(out / f"step_{number}.npz", **state(srgan))
        if number == 0:
            losses = metrics(srgan)
    moved = {f"first/{name}": value for name, value in first.items()}
    np.savez(out / f"{case}_{devices}.npz", **state(srgan), **moved, **losses)
    if devices == 2:
        metrics(srgan)
        before = state(srgan)
        step(poisoned(next(batches), strategy))
        after, skipped = state(srgan), metrics(srgan)["skipped"]
        step(next(batches))
        np.savez(out / f"{case}_before_nan.npz", **before)
        np.savez(out / f"{case}_after_nan.npz", **after, skipped=skipped)
        np.savez(out / f"{case}_next.npz", **state(srgan), skipped=metrics(srgan)["skipped"])


def run_float16(films, out, strategy) -> None:
    """One step at a loss scale that overflows, then one at a scale that does not."""
    config = replace(CONFIG, precision="mixed_float16", batch_norm=False)
    trainer = trainer_of(config, films, strategy)
    srgan, step, batches = trainer.srgan, trainer._compiled_step(), trainer._batches()
    optimizers = (srgan.optimizer, srgan.discriminator_optimizer)
    for name, scale in (("overflow", 2.0**40), ("scaled", 2.0**8)):
        for optimizer in optimizers:
            optimizer.dynamic_scale.assign(scale)
        before = {f"before/{name}": value for name, value in state(srgan).items()}
        step(next(batches))
        scales = [float(tf.convert_to_tensor(each.dynamic_scale)) for each in optimizers]
        steps = [int(tf.convert_to_tensor(each.iterations)) for each in optimizers]
        results = {"scales": scales, "steps": steps, **metrics(srgan)}
        np.savez(out / f"float16_{name}.npz", **state(srgan), **before, **results)


def run_fit(films, out, devices, strategy) -> None:
    """`SRGAN.fit` in the adversarial phase, and `evaluate`."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        generator, averaged = (SRResNet(4, depth=1, width=8, batch_norm=True) for _ in range(2))
        srgan = SRGAN(generator, PatchDiscriminator(stages=1, filters=4), averaged=averaged)
        sgd = keras.optimizers.SGD
        srgan.compile(sgd(0.01), sgd(0.01), clip_norm=0.1, adversarial_weight=0.1)
    for network in (generator, averaged):
        network.set_weights(noisy_weights(network))
    frames = whole_films(films[0][0], 4)
    srgan.phase = "adversarial"
    losses = srgan.fit(frames, epochs=1, verbose=0).history
    losses.update(srgan.evaluate(frames, verbose=0, return_dict=True))
    np.savez(out / f"fit_{devices}.npz", **state(srgan), **losses)


def play(game, real, fake):
    """The two losses of a game, and the gradients of each by real and fake logits."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((real, fake))
        losses = game[0](real, fake, 0.1), game[1](real, fake)
    zero = tf.UnconnectedGradients.ZERO
    gradients = [tape.gradient(loss, (real, fake), unconnected_gradients=zero) for loss in losses]
    return losses, [*gradients[0], *gradients[1]]


def run_losses(out, strategies) -> None:
    """Each adversarial loss and its gradient on the same logits, split among the devices."""
    noise = np.random.default_rng(0)
    real, fake = (noise.normal(size=(8, 2, 2, 1)).astype(np.float32) for _ in range(2))
    for devices, strategy in strategies.items():
        size = 8 // devices

        def part(context, images, size=size):
            index = context.replica_id_in_sync_group
            return tf.constant(images[index * size : (index + 1) * size])

        split = [
            strategy.experimental_distribute_values_from_function(
                lambda context, images=images, part=part: part(context, images)
            )
            for images in (real, fake)
        ]
        results = {}
        for name, game in ADVERSARIAL_LOSSES.items():
            losses, gradients = strategy.run(tf.function(partial(play, game)), args=tuple(split))
            for side, loss in zip(("discriminator", "generator"), losses, strict=True):
                results[f"{name}/{side}"] = strategy.reduce("MEAN", loss, axis=None).numpy()
            for number, each in enumerate(gradients):
                # The loss is a mean over devices: what one device holds counts for 1 / devices.
                parts = [part / devices for part in strategy.experimental_local_results(each)]
                results[f"{name}/gradient_{number}"] = tf.concat(parts, axis=0).numpy()
        np.savez(out / f"losses_{devices}.npz", **results)


def main(folder: Path, out: Path) -> None:
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # for speed
    strategies = {2: choose_strategy(2), 1: tf.distribute.get_strategy()}
    index = index_films(folder)
    films = [[PairCache.load(index.of(split), CONFIG.pair)] for split in ("train", "val")]
    run_losses(out, strategies)
    for devices, strategy in strategies.items():
        run_fit(films, out, devices, strategy)
        for case, config in CASES.items():
            run_case(case, config, films, out, devices, strategy)
    run_float16(films, out, strategies[2])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
