"""Losses: plain means over a replica's images, so that their weights mean the same everywhere.

Keras `Loss` objects divide by the number of replicas and plain means do not; mixing them would
make the balance of the losses depend on the number of devices.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from xraysr.errors import UserError

CHARBONNIER_EPSILON = 1e-3


def l1(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """Mean absolute error."""
    return tf.reduce_mean(tf.abs(sr - hr))


def mse(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """Mean squared error: highest PSNR, softest images."""
    return tf.reduce_mean(tf.square(sr - hr))


def charbonnier(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """L1 made smooth at zero, [Lai et al., 2017](https://arxiv.org/abs/1704.03915)."""
    return tf.reduce_mean(tf.sqrt(tf.square(sr - hr) + CHARBONNIER_EPSILON**2))


ContentLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
CONTENT_LOSSES: dict[str, ContentLoss] = {"l1": l1, "charbonnier": charbonnier, "mse": mse}


def content_loss_of(loss: str | ContentLoss) -> ContentLoss:
    """The content loss of that name, or the user's own function of (sr, hr).

    Raises:
        UserError: if there is none of that name.
    """
    if callable(loss):
        return loss
    if loss not in CONTENT_LOSSES:
        raise UserError(
            f"content_loss must be {', '.join(CONTENT_LOSSES)}, or a function of (sr, hr) that "
            f"returns one number. Received: content_loss={loss!r}"
        )
    return CONTENT_LOSSES[loss]


def feature_loss(sr_features, hr_features) -> tf.Tensor:
    """Mean squared difference of features; of several maps, the mean over the maps."""
    maps = zip(tf.nest.flatten(sr_features), tf.nest.flatten(hr_features), strict=True)
    return tf.reduce_mean([mse(tf.cast(a, tf.float32), tf.cast(b, tf.float32)) for a, b in maps])


# What a discriminator loses on (real, fake) logits, and what the generator loses on them.
Game = tuple[
    Callable[[tf.Tensor, tf.Tensor, float], tf.Tensor], Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
]


def _cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    labels = tf.fill(tf.shape(logits), tf.cast(target, logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def _over_replicas(logits: tf.Tensor) -> tf.Tensor:
    """Mean of logits over the images of all replicas."""
    replica = tf.distribute.get_replica_context()
    return replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(logits))


def _relative(real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How much more real each image looks than the average of the other kind."""
    return real - _over_replicas(fake), fake - _over_replicas(real)


def _bce_discriminator(real, fake, smoothing):
    return 0.5 * (_cross_entropy(real, 1.0 - smoothing) + _cross_entropy(fake, 0.0))


def _bce_generator(real, fake):
    return _cross_entropy(fake, 1.0)


def _least_squares_discriminator(real, fake, smoothing):
    goal = 1.0 - smoothing
    return 0.5 * (tf.reduce_mean(tf.square(real - goal)) + tf.reduce_mean(tf.square(fake)))


def _least_squares_generator(real, fake):
    return tf.reduce_mean(tf.square(fake - 1.0))


def _hinge_discriminator(real, fake, smoothing):
    goal = 1.0 - smoothing
    return 0.5 * (tf.reduce_mean(tf.nn.relu(goal - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake)))


def _hinge_generator(real, fake):
    return -tf.reduce_mean(fake)


def _relativistic_discriminator(real, fake, smoothing):
    return _bce_discriminator(*_relative(real, fake), smoothing)


def _relativistic_generator(real, fake):
    real, fake = _relative(real, fake)
    return 0.5 * (_cross_entropy(real, 0.0) + _cross_entropy(fake, 1.0))


# bce: Goodfellow et al., 2014, the generator's part not saturating (arxiv.org/abs/1406.2661);
# least_squares: Mao et al., 2017 (1611.04076); hinge: Lim & Ye, 2017 (1705.02894);
# relativistic: the average one of Jolicoeur-Martineau, 2018 (1807.00734), as ESRGAN uses it.
ADVERSARIAL_LOSSES: dict[str, Game] = {
    "bce": (_bce_discriminator, _bce_generator),
    "least_squares": (_least_squares_discriminator, _least_squares_generator),
    "hinge": (_hinge_discriminator, _hinge_generator),
    "relativistic": (_relativistic_discriminator, _relativistic_generator),
}


def adversarial_loss_of(loss: str) -> Game:
    """What discriminator and generator lose in the adversarial loss of that name.

    Raises:
        UserError: if there is none of that name.
    """
    if loss not in ADVERSARIAL_LOSSES:
        raise UserError(
            f"adversarial_loss must be {', '.join(ADVERSARIAL_LOSSES)}. "
            f"Received: adversarial_loss={loss!r}"
        )
    return ADVERSARIAL_LOSSES[loss]


def accuracy(adversarial_loss: str, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Share of logits on the right side, as the named loss sees them, 0 to 1."""
    if adversarial_loss == "relativistic":
        real, fake = _relative(real, fake)
    threshold = 0.5 if adversarial_loss == "least_squares" else 0.0
    right = tf.stack(
        [tf.cast(real > threshold, tf.float32), tf.cast(fake <= threshold, tf.float32)]
    )
    return tf.reduce_mean(right)


def r1_penalty(discriminator, real: tf.Tensor) -> tf.Tensor:
    """Mean squared gradient norm of the verdict on real images.

    Reference:
        [Mescheder et al., 2018](https://arxiv.org/abs/1801.04406)
    """
    with tf.GradientTape() as tape:
        tape.watch(real)
        verdict = tf.reduce_sum(discriminator(real, training=True))
    gradient = tf.cast(tape.gradient(verdict, real), tf.float32)
    return tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)))
