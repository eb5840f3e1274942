"""One step: the mean of the gradients, clipped, checked, applied; and the moving average."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.models import SRResNet
from xraysr.training.updates import (
    FLOAT16_SCALE,
    apply_gradients,
    decay_at,
    guarded,
    update_average,
)

NAN = float("nan")


def weight() -> keras.Variable:
    return keras.Variable(np.array([1.0, 2.0], np.float32))


def build(optimizer, *variables, float16: bool = False):
    optimizer = guarded(optimizer, float16)
    optimizer.build(list(variables))
    return optimizer


def test_a_step_is_that_of_the_optimizer_alone():
    a, b = weight(), weight()
    plain = keras.optimizers.Adam(0.1)
    plain.build([a])
    optimizer = build(keras.optimizers.Adam(0.1), b)
    for gradient in ([1.0, -2.0], [0.5, 0.25], [3.0, 0.0]):
        plain.apply([tf.constant(gradient)], [a])
        assert apply_gradients(optimizer, [tf.constant(gradient)], [b])
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("scale", [1.0, 2.0**10])
def test_clipping_bounds_the_norm_of_the_unscaled_gradient_over_all_variables(scale):
    a, b = weight(), weight()
    optimizer = build(keras.optimizers.SGD(1.0), a, b, float16=scale != 1.0)
    optimizer.dynamic_scale.assign(scale)
    gradients = [np.array([3.0, 0.0], np.float32), np.array([0.0, 4.0], np.float32)]
    apply_gradients(optimizer, [tf.constant(scale * g) for g in gradients], [a, b], clip_norm=1.0)
    np.testing.assert_allclose(a.numpy(), [1.0 - 0.6, 2.0], rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), [1.0, 2.0 - 0.8], rtol=1e-6)


def test_a_gradient_below_the_bound_is_left_as_it_is():
    a = weight()
    optimizer = build(keras.optimizers.SGD(1.0), a)
    apply_gradients(optimizer, [tf.constant([0.25, 0.5])], [a], clip_norm=1.0)
    np.testing.assert_array_equal(a.numpy(), [0.75, 1.5])


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(bad, clip_norm):
    a = weight()
    optimizer = build(keras.optimizers.Adam(0.1), a)
    apply_gradients(optimizer, [tf.constant([1.0, 1.0])], [a], clip_norm)
    before = [a.numpy(), *(v.numpy() for v in optimizer.inner_optimizer.variables)]
    assert not apply_gradients(optimizer, [tf.constant([1.0, bad])], [a], clip_norm)
    after = [a.numpy(), *(v.numpy() for v in optimizer.inner_optimizer.variables)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    assert apply_gradients(optimizer, [tf.constant([1.0, 1.0])], [a], clip_norm)
    assert (a.numpy() < before[0]).all()


def test_the_guard_works_as_well_after_two_hundred_bad_batches():
    """A loss scale halved each time would have become zero by then."""
    a = weight()
    optimizer = build(keras.optimizers.SGD(1.0), a)
    step = tf.function(lambda gradient: apply_gradients(optimizer, [gradient], [a]))
    for _ in range(200):
        step(tf.constant([NAN, 0.0]))
    assert float(optimizer.scale_loss(3.0)) == 3.0
    assert step(tf.constant([0.25, 0.5]))
    np.testing.assert_array_equal(a.numpy(), [0.75, 1.5])


def test_in_float16_the_loss_is_scaled_and_an_overflow_halves_the_scale():
    a = weight()
    optimizer = build(keras.optimizers.SGD(1.0), a, float16=True)
    assert float(optimizer.scale_loss(1.0)) == FLOAT16_SCALE
    assert apply_gradients(optimizer, [tf.constant([np.inf, 0.0])], [a])  # no fault: it searches
    assert float(optimizer.dynamic_scale) == FLOAT16_SCALE / 2
    np.testing.assert_array_equal(a.numpy(), [1.0, 2.0])
    gradient = tf.constant([0.25, 0.5]) * (FLOAT16_SCALE / 2)
    assert apply_gradients(optimizer, [gradient], [a])
    np.testing.assert_array_equal(a.numpy(), [0.75, 1.5])


def test_in_float16_a_gradient_that_no_scale_makes_finite_is_a_fault_in_the_end():
    a = weight()
    optimizer = build(keras.optimizers.SGD(1.0), a, float16=True)
    verdicts = [bool(apply_gradients(optimizer, [tf.constant([NAN, 0.0])], [a])) for _ in range(17)]
    assert verdicts == [True] * 15 + [False] * 2


def test_an_optimizer_is_wrapped_once_and_none_stays_none():
    optimizer = guarded(keras.optimizers.Adam())
    assert guarded(optimizer) is optimizer
    assert guarded(None) is None


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
