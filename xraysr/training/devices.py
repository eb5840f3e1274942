"""Which devices a run trains on, and how its batches are dealt out to them."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from xraysr.errors import UserError


def choose_strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """The strategy this machine and its surroundings call for.

    With a cluster of several workers in `TF_CONFIG` it is `MultiWorkerMirroredStrategy`; with
    more than one GPU, or `devices` above 1, `MirroredStrategy`; else the default one.

    Args:
        devices: How many devices of this machine to use: GPUs where there are any, else the CPU
            split into that many; None takes every GPU.

    Raises:
        UserError: if there are fewer GPUs than `devices`, or the CPU can no longer be split.
    """
    if devices is not None and devices < 1:
        raise UserError(f"devices must be 1 or more. Received: devices={devices}")
    if cluster_size() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if devices is not None and devices > len(gpus):
            raise UserError(f"devices={devices}, but this machine has {len(gpus)} GPUs.")
        names = [f"GPU:{index}" for index in range(devices or len(gpus))]
        return (
            tf.distribute.MirroredStrategy(names)
            if len(names) > 1
            else tf.distribute.get_strategy()
        )
    if devices is None or devices == 1:
        return tf.distribute.get_strategy()
    _split_cpu(devices)
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(devices)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def cluster_size() -> int:
    """Number of workers that `TF_CONFIG` names; 1 without it."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 1
    try:
        return max(1, len(json.loads(text).get("cluster", {}).get("worker", ())))
    except (json.JSONDecodeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is not the JSON tf.distribute expects: {error}") from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the only one, or worker 0."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def pipelines(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """(index, count) of this process among those that read data."""
    resolver = strategy.cluster_resolver
    if resolver is None or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    return resolver.task_id or 0, len(resolver.cluster_spec().as_dict()["worker"])


def _split_cpu(count: int) -> None:
    """Makes `count` logical devices of the CPU, unless it was done before."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UserError(
                f"The CPU can be split into {count} devices only before TensorFlow is first "
                "used in a process."
            ) from error
