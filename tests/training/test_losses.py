"""Every loss against a twin written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.training.losses import (
    ADVERSARIAL_LOSSES,
    CONTENT_LOSSES,
    accuracy,
    adversarial_loss_of,
    content_loss_of,
    r1_penalty,
)

SMOOTHING = 0.1


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 8, 6, 1))


def logits(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (4, 3, 3, 1))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def cross_entropy(x: np.ndarray, target: float) -> float:
    return np.mean(target * softplus(-x) + (1 - target) * softplus(x))


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("l1", lambda d: np.mean(np.abs(d))),
        ("mse", lambda d: np.mean(d**2)),
        ("charbonnier", lambda d: np.mean(np.sqrt(d**2 + 1e-6))),
    ],
)
def test_content_losses(name, twin):
    sr, hr = images(0), images(1)
    loss = CONTENT_LOSSES[name](tf.constant(sr, tf.float32), tf.constant(hr, tf.float32))
    assert float(loss) == pytest.approx(twin(sr - hr), rel=1e-5)
    same = CONTENT_LOSSES[name](tf.constant(sr), tf.constant(sr))
    assert float(same) == pytest.approx(twin(np.zeros(1)), abs=1e-12)


def test_every_content_loss_has_a_gradient_where_sr_is_perfect():
    """The square root of Charbonnier's loss would have none at zero."""
    for loss in CONTENT_LOSSES.values():
        sr = tf.constant(images(0))
        with tf.GradientTape() as tape:
            tape.watch(sr)
            value = loss(sr, tf.constant(images(0)))
        np.testing.assert_array_equal(tape.gradient(value, sr), np.zeros(sr.shape))


def relative(real, fake):
    return real - fake.mean(), fake - real.mean()


TWINS = {
    "bce": (
        lambda r, f, s: 0.5 * (cross_entropy(r, 1 - s) + cross_entropy(f, 0)),
        lambda r, f: cross_entropy(f, 1),
    ),
    "least_squares": (
        lambda r, f, s: 0.5 * (np.mean((r - (1 - s)) ** 2) + np.mean(f**2)),
        lambda r, f: np.mean((f - 1) ** 2),
    ),
    "hinge": (
        lambda r, f, s: 0.5 * (np.mean(np.maximum(0, 1 - s - r)) + np.mean(np.maximum(0, 1 + f))),
        lambda r, f: -np.mean(f),
    ),
    "relativistic": (
        lambda r, f, s: (
            0.5 * (cross_entropy(relative(r, f)[0], 1 - s) + cross_entropy(relative(r, f)[1], 0))
        ),
        lambda r, f: (
            0.5 * (cross_entropy(relative(r, f)[0], 0) + cross_entropy(relative(r, f)[1], 1))
        ),
    ),
}


@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
@pytest.mark.parametrize("name", TWINS)
def test_adversarial_losses(name, smoothing):
    real, fake = logits(0), logits(1)
    tensors = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    discriminator, generator = ADVERSARIAL_LOSSES[name]
    twin_discriminator, twin_generator = TWINS[name]
    expected = twin_discriminator(real, fake, smoothing)
    assert float(discriminator(*tensors, smoothing)) == pytest.approx(expected, rel=1e-5)
    assert float(generator(*tensors)) == pytest.approx(twin_generator(real, fake), rel=1e-5)


def test_no_adversarial_loss_is_without_a_twin():
    assert TWINS.keys() == ADVERSARIAL_LOSSES.keys()


@pytest.mark.parametrize("name", TWINS)
def test_the_discriminator_gains_from_telling_apart_and_the_generator_from_the_contrary(name):
    discriminator, generator = ADVERSARIAL_LOSSES[name]
    low, high = -tf.ones((2, 1)), tf.ones((2, 1))
    assert discriminator(high, low, 0.0) < discriminator(low, high, 0.0)
    assert generator(low, high) < generator(high, low)


def test_label_smoothing_moves_the_goal_of_real_images_only():
    """At the smoothed goal the discriminator is content; surer verdicts cost again."""
    goal = float(np.log(0.9 / 0.1))  # sigmoid(goal) == 1 - SMOOTHING
    verdicts = [tf.constant([[goal + offset]]) for offset in (-1.0, 0.0, 1.0)]
    fake = tf.constant([[-3.0]])
    loss = [float(ADVERSARIAL_LOSSES["bce"][0](v, fake, SMOOTHING)) for v in verdicts]
    assert loss[1] < loss[0]
    assert loss[1] < loss[2]
    bare = [float(ADVERSARIAL_LOSSES["bce"][0](v, fake, 0.0)) for v in verdicts]
    assert bare == sorted(bare, reverse=True)


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights():
    weights = np.random.default_rng(0).normal(size=(4, 4, 1)).astype(np.float32)

    def discriminator(x, training):
        assert training
        return tf.reduce_sum(x * weights, axis=(1, 2, 3))[:, None]

    penalty = r1_penalty(discriminator, tf.constant(images(0)[:, :4, :4], tf.float32))
    assert float(penalty) == pytest.approx(np.sum(weights.astype(np.float64) ** 2), rel=1e-5)


def test_r1_of_a_square_discriminator_is_the_mean_over_images():
    """D(x) = |x|^2 / 2 has the gradient x, so R1 is the mean over images of |x|^2."""
    real = images(3).astype(np.float32)

    def discriminator(x, training):
        return 0.5 * tf.reduce_sum(x**2, axis=(1, 2, 3))[:, None]

    expected = np.mean(np.sum(real.astype(np.float64) ** 2, axis=(1, 2, 3)))
    assert float(r1_penalty(discriminator, tf.constant(real))) == pytest.approx(expected, rel=1e-5)


def test_r1_can_be_trained_against():
    """Its own gradient by the weight of D(x) = w x, 16 pixels each: d(16 w^2)/dw = 32 w."""
    weight = tf.Variable(1.5)
    with tf.GradientTape() as tape:
        penalty = r1_penalty(lambda x, training: weight * x, tf.ones((2, 4, 4, 1)))
    assert float(penalty) == pytest.approx(16 * 1.5**2)
    assert float(tape.gradient(penalty, weight)) == pytest.approx(32 * 1.5)


def test_r1_works_in_half_precision():
    inputs = keras.Input((4, 4, 1))
    dense = keras.layers.Dense(1, dtype="mixed_float16", kernel_initializer="ones")
    discriminator = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    penalty = r1_penalty(discriminator, tf.ones((2, 4, 4, 1)))
    assert penalty.dtype == tf.float32
    assert float(penalty) == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("bce", 0.5), ("hinge", 0.5), ("least_squares", 0.5), ("relativistic", 1.0)],
)
def test_accuracy_is_that_of_the_game_played(loss, expected):
    """Logits that are all high still order real above generated: right in the relative game."""
    real, fake = tf.constant([[3.0], [4.0]]), tf.constant([[1.0], [2.0]])
    assert float(accuracy(loss, real, fake)) == expected


def test_an_unknown_loss_is_named_with_those_there_are():
    with pytest.raises(UserError, match="l1, charbonnier, mse, or a function.*'l2'"):
        content_loss_of("l2")
    with pytest.raises(UserError, match="bce, least_squares, hinge, relativistic.*'wgan'"):
        adversarial_loss_of("wgan")
    assert content_loss_of(relative) is relative
