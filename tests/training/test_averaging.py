"""The averaged generator against a moving average in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.models import SRResNet
from xraysr.training.averaging import decay_at, update_average


@pytest.fixture
def networks():
    """(averaged, network), built, with BatchNorm and other weights in each."""
    keras.utils.set_random_seed(0)
    pair = [SRResNet.for_pair("16:64", depth=1, width=8, batch_norm=True) for _ in range(2)]
    random = np.random.default_rng(0)
    for each in pair:
        each.set_weights([random.random(w.shape).astype(np.float32) for w in each.get_weights()])
    return pair


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.1), (1, 2 / 11), (100, 101 / 110), (10**6, 0.999)]
)
def test_early_steps_move_the_average_more(step, expected):
    assert float(decay_at(tf.constant(step), 0.999)) == pytest.approx(expected, rel=1e-6)


def test_the_average_is_a_moving_average_and_statistics_are_copied(networks):
    averaged, network = networks
    random = np.random.default_rng(1)
    expected = {v.path: v.numpy().astype(np.float64) for v in averaged.trainable_variables}
    for _ in range(4):
        network.set_weights([random.random(w.shape) for w in network.get_weights()])
        for average, weight in zip(
            averaged.trainable_variables, network.trainable_variables, strict=True
        ):
            expected[average.path] = 0.75 * expected[average.path] + 0.25 * weight.numpy()
        update_average(averaged, network, tf.constant(0.75), tf.constant(True))
    for variable in averaged.trainable_variables:
        np.testing.assert_allclose(variable.numpy(), expected[variable.path], atol=1e-6)
    statistics = averaged.non_trainable_variables
    assert len(statistics) == 4
    for average, weight in zip(statistics, network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(average.numpy(), weight.numpy())


def test_where_the_network_took_no_step_the_average_stays_bit_by_bit(networks):
    averaged, network = networks
    before = [v.numpy() for v in averaged.trainable_variables]
    update_average(averaged, network, tf.constant(0.3), tf.constant(False))
    for old, new in zip(before, averaged.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
