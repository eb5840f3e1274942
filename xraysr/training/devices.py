"""Which devices a run trains on, and how its batches are dealt out to them."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from xraysr.errors import UserError

EXPECTED = (
    "TF_CONFIG must be JSON such as "
    '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}.'
)


def choose_strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """The strategy this machine and its surroundings call for.

    With a cluster of several workers in `TF_CONFIG` it is `MultiWorkerMirroredStrategy`; with
    more than one GPU, or `devices` above 1, `MirroredStrategy`; else the default one.

    Args:
        devices: How many devices of this machine to use: GPUs where there are any, else the CPU
            split into that many; None takes every GPU.

    Raises:
        UserError: if there are fewer GPUs than `devices`, TensorFlow was used too early to split
            the CPU or to join other workers, or `TF_CONFIG` is malformed.
    """
    if devices is not None and devices < 1:
        raise UserError(f"devices must be 1 or more. Received: devices={devices}")
    if cluster_size() > 1:
        return _join_workers()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if devices is not None:
            _take_gpus(gpus, devices)
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
    """Number of workers that `TF_CONFIG` names, a chief among them; 1 without it.

    Raises:
        UserError: if it is malformed, or this process is none of them.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 1
    try:
        config = json.loads(text)
        workers = _workers(config.get("cluster", {}))
        task = config.get("task", {})
        own = task.get("type"), task.get("index")
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise UserError(f"{EXPECTED} Received: {text} ({error})") from error
    if len(workers) > 1 and own not in workers:
        raise UserError(f"{EXPECTED} No such task in that cluster. Received: {text}")
    return max(1, len(workers))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the only one, the chief, or worker 0."""
    return pipelines(strategy)[0] == 0


def pipelines(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """(index, count) of this process among those that read data."""
    resolver = strategy.cluster_resolver
    if resolver is None or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    workers = _workers(resolver.cluster_spec().as_dict()) or [("worker", 0)]
    return workers.index((resolver.task_type or "worker", resolver.task_id or 0)), len(workers)


def _workers(cluster: dict[str, list[str]]) -> list[tuple[str, int]]:
    """Tasks of a cluster that train, the one that writes first."""
    for addresses in cluster.values():
        if not isinstance(addresses, list):
            raise TypeError(f"{addresses!r} is not a list of addresses")
    return [
        (kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))
    ]


def _join_workers() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "Workers can be joined only before TensorFlow is first used in a process: call train, "
            "or choose_strategy, before anything else that uses it."
        ) from error


def _take_gpus(gpus: list, count: int) -> None:
    """Leaves all but the first `count` to others: TensorFlow takes memory on each it can see."""
    if count > len(gpus):
        raise UserError(f"devices={count}, but this machine has {len(gpus)} GPUs.")
    if count == len(gpus):
        return
    try:
        tf.config.set_visible_devices(gpus[:count], "GPU")
    except RuntimeError as error:
        raise UserError(
            f"{count} of {len(gpus)} GPUs can be chosen only before TensorFlow is first used in a "
            "process."
        ) from error


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
