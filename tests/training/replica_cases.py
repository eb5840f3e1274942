"""Run by test_distribution.py in a process of its own, because the CPU is split only once.

Each case trains the same networks on the same films on one device and on two, and writes every
variable it ended with to `<case>_<devices>.npz`.

    python replica_cases.py FILMS OUT
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from xraysr.data.index import index_films
from xraysr.data.pipeline import PairCache
from xraysr.progress import StatusBar
from xraysr.training import TrainConfig
from xraysr.training.devices import choose_strategy
from xraysr.training.run import Run
from xraysr.training.trainer import Trainer

STEPS = 5
CONFIG = TrainConfig(
    "16:64", steps=STEPS, depth=1, width=8, batch=8, crop=8, batch_norm=True, clip_norm=0.1,
    learning_rate=1e-2, adversarial_learning_rate=1e-2, adversarial_weight=0.1,
    validate_every=STEPS,
)  # fmt: skip
CASES = {
    "bce": CONFIG,
    "relativistic": replace(
        CONFIG, adversarial_loss="relativistic", r1_weight=0.01, spectral_norm=True
    ),
}


def trainer_of(name: str, config: TrainConfig, films: list[PairCache], out: Path, strategy):
    """A trainer in the adversarial phase, whose generator is no longer plain Lanczos."""
    keras.utils.set_random_seed(0)
    trainer = Trainer(Run.create(out / name, config), *films, strategy)
    noise = np.random.default_rng(1)
    srgan = trainer.srgan
    weights = [w + noise.normal(0, 0.05, w.shape) for w in srgan.generator.get_weights()]
    srgan.generator.set_weights([np.abs(w) if w.ndim == 1 else w for w in weights])
    srgan.averaged.set_weights(srgan.generator.get_weights())
    trainer.switched.assign(0.0)
    return trainer


def save(path: Path, srgan, **more) -> None:
    """Every variable of every part, and for two devices what the second one holds."""
    arrays = {}
    for part, variables in srgan.checkpoint_parts().items():
        for index, variable in enumerate(variables):
            for replica, copy in enumerate(getattr(variable, "values", (variable,))):
                arrays[f"{part}/{index:03d}/{replica}"] = copy.numpy()
    np.savez(path, **arrays, **more)


def main(folder: Path, out: Path) -> None:
    two = choose_strategy(2)
    index = index_films(folder)
    films = [PairCache.load(index.of(split), CONFIG.pair) for split in ("train", "val")]
    strategies = {1: tf.distribute.get_strategy(), 2: two}
    for devices, strategy in strategies.items():
        for case, config in CASES.items():
            trainer = trainer_of(f"{case}_{devices}", config, films, out, strategy)
            trainer.train(StatusBar(None), [])
            losses = next(each for each in trainer.run.records() if "content" in each)
            names = ("content", "adversarial", "discriminator", "accuracy", "skipped")
            losses = {name: losses[name] for name in names}
            save(out / f"{case}_{devices}.npz", trainer.srgan, **losses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
