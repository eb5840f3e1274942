"""Networks that were never trained, yet do something."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    """The same initial weights on every run."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def perturb() -> Callable:
    """Adds seeded noise to every weight of a model; variances of a BatchNormalization grow."""

    def add_noise(model, seed: int = 0, scale: float = 0.05):
        rng = np.random.default_rng(seed)
        for weight in model.weights:
            noise = scale * rng.standard_normal(weight.shape)
            noise = np.abs(noise) if "variance" in weight.path else noise
            weight.assign(np.asarray(weight) + noise)
        return model

    return add_noise
