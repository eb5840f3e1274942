"""Optimizer steps that mean the same on any number of devices and pass over what is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

NEVER = 2**31 - 1
FLOAT16_SCALE = 2.0**15


def guarded(optimizer: Any, float16: bool = False) -> Any:
    """`optimizer` inside a `LossScaleOptimizer`, which passes over non-finite gradients.

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
        True if the step was taken, or passed over only to find a loss scale for float16; False
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
