"""The moving average of a network, on any number of devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf


def decay_at(step: tf.Tensor, decay: float) -> tf.Tensor:
    """The smaller of `decay` and (1 + step) / (10 + step): early steps move the average more.

    Args:
        step: Number of steps taken, the present one among them.
        decay: What it rises to.
    """
    step = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1.0 + step) / (10.0 + step))


def update_average(
    averaged: keras.Model, network: keras.Model, decay: tf.Tensor, moved: tf.Tensor
) -> None:
    """Moves `averaged` towards `network`; what is not trained, as BatchNorm's, is copied.

    Call it on a replica, in `strategy.run`.

    Args:
        averaged: A network of the same shape.
        network: The one that trains.
        decay: How much of the average stays, 0 to 1.
        moved: Whether `network` took a step at all: the same on every replica.
    """

    def update(strategy: tf.distribute.Strategy, decay: tf.Tensor, moved: tf.Tensor) -> None:
        decay, moved = (strategy.experimental_local_results(each)[0] for each in (decay, moved))

        def move(average: tf.Variable, weight: tf.Variable) -> None:
            average.assign(tf.where(moved, decay * average + (1.0 - decay) * weight, average))

        def copy(average: tf.Variable, weight: tf.Variable) -> None:
            average.assign(weight)

        trainable = averaged.trainable_variables, network.trainable_variables
        for average, weight in _values(*trainable):
            strategy.extended.update(average, move, args=(weight,))
        for average, weight in _values(
            averaged.non_trainable_variables, network.non_trainable_variables
        ):
            strategy.extended.update(average, copy, args=(weight,))

    tf.distribute.get_replica_context().merge_call(update, args=(decay, moved))


def _values(*variables: Iterable[keras.Variable]) -> Iterator[tuple[tf.Variable, ...]]:
    """The TensorFlow variables behind Keras ones, which tf.distribute can update."""
    return zip(*([each.value for each in one] for one in variables), strict=True)
