"""What a step does to weights: the gradient of all replicas, applied once, and a moving average.

It means the same on any number of devices, and what is not finite is skipped by all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

NEVER = 2**31 - 1
FLOAT16_SCALE = 2.0**15


def guarded(optimizer: Any, float16: bool = False) -> Any:
    """`optimizer` inside a `LossScaleOptimizer`, which skips non-finite gradients.

    In float16 it scales the loss against underflow; otherwise its scale stays at 1, so that it
    is a guard and nothing else.

    Args:
        optimizer: A Keras optimizer, or None, which is returned as it is.
        float16: Whether the networks compute in float16.
    """
    if optimizer is None or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    if float16:
        return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=FLOAT16_SCALE)
    return keras.optimizers.LossScaleOptimizer(
        optimizer, initial_scale=1.0, dynamic_growth_steps=NEVER
    )


def apply_gradients(
    optimizer: Any,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[Any],
    clip_norm: float | None = None,
) -> tf.Tensor:
    """One optimizer step with the mean of all replicas' gradients.

    The mean is taken first: clipping and the check for finite values then see what every replica
    sees, and all of them do the same.

    Returns:
        True if the step was taken, or skipped only to find a loss scale for float16; False
        if the gradients are not finite at a scale of 1.

    Args:
        optimizer: A `LossScaleOptimizer`; the gradients are those of the loss it scaled.
        gradients: Of this replica.
        variables: To be updated.
        clip_norm: Largest global norm of the gradient, in units of the unscaled loss.
    """
    replica = tf.distribute.get_replica_context()
    gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, list(gradients))
    scale = tf.identity(optimizer.dynamic_scale)
    norm = tf.linalg.global_norm(gradients) / scale
    factor = tf.minimum(1.0, clip_norm / tf.maximum(norm, 1e-12)) if clip_norm else 1.0
    # `apply` sums over the replicas once more.
    factor /= replica.num_replicas_in_sync
    optimizer.apply([gradient * factor for gradient in gradients], variables)
    if optimizer.initial_scale == 1.0:  # a guard; `apply` halves its scale at each step it skips
        optimizer.dynamic_scale.assign(1.0)
    return tf.math.is_finite(norm) | (scale > 1.0)


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
