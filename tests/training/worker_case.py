"""Run by test_distribution.py: `train` as a user calls it, in one of the workers of `TF_CONFIG`.

    python worker_case.py FILMS OUT WEIGHTS

Writes every variable this process ended with to the file WEIGHTS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from replica_cases import small_discriminator

from xraysr.training import Callback, TrainConfig, build, train

CONFIG = TrainConfig(
    "16:64", steps=6, adversarial_from=3, depth=1, width=8, batch=4, crop=8, batch_norm=True,
    clip_norm=0.01, validate_every=3, learning_rate=1e-5, adversarial_learning_rate=1e-5,
)  # fmt: skip


def main(films: Path, out: Path, weights: Path) -> None:
    trainers = []

    class Remember(Callback):
        def on_end(self, state):
            trainers.append(state)

    build._discriminator = small_discriminator
    train(CONFIG, films, out, callbacks=[Remember()])
    (trainer,) = trainers
    parts = trainer.srgan.checkpoint_parts()
    np.savez(
        weights,
        strategy=type(trainer.strategy).__name__,
        writes=trainer.writes,
        **{
            f"{part}/{number:03d}": variable.numpy()
            for part, variables in parts.items()
            for number, variable in enumerate(variables)
        },
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
