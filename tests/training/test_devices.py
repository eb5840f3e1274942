"""The strategy this machine calls for, and what cannot be."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.training import train
from xraysr.training.devices import choose_strategy, cluster_size, is_chief, pipelines
from xraysr.training.trainer import Trainer

CLUSTER = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}}
CHIEF = {"cluster": {"chief": ["127.0.0.1:1"], "worker": ["127.0.0.1:2"]}}
SPLIT = """
import numpy as np, tensorflow as tf
from xraysr.errors import UserError
from xraysr.training.devices import choose_strategy, is_chief, pipelines
strategy = choose_strategy(2)
assert type(strategy) is tf.distribute.MirroredStrategy, strategy
assert strategy.num_replicas_in_sync == 2
assert is_chief(strategy) and pipelines(strategy) == (0, 1)
total = strategy.reduce("SUM", strategy.run(lambda: tf.constant(1.0)), axis=None)
assert float(total) == 2.0
assert choose_strategy(2).num_replicas_in_sync == 2, "split before: the same again"
try:
    choose_strategy(3)
except UserError as error:
    print(error)
"""


def pretend_gpus(monkeypatch, count: int) -> list[str]:
    """As many GPUs as `count`, by name only; the list fills with those made visible."""
    real = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: [f"gpu{n}" for n in range(count)] if kind == "GPU" else real(kind),
    )
    monkeypatch.delenv("TF_CONFIG", raising=False)
    visible = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda some, kind: visible.extend(some))
    return visible


@pytest.fixture
def cpu_only(monkeypatch):
    pretend_gpus(monkeypatch, 0)


@pytest.mark.parametrize("devices", [None, 1])
def test_without_a_gpu_one_device_needs_no_strategy(cpu_only, devices):
    strategy = choose_strategy(devices)
    assert strategy is tf.distribute.get_strategy()
    assert strategy.num_replicas_in_sync == 1
    assert is_chief(strategy)
    assert pipelines(strategy) == (0, 1)


def test_train_takes_the_default_strategy_where_there_is_no_gpu(
    cpu_only, film_folder, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(Trainer, "train", lambda self: None)
    run = train(tiny, film_folder, tmp_path / "run")
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["strategy"] == "_DefaultDistributionStrategy"
    assert environment["replicas"] == 1


@pytest.mark.slow
def test_two_devices_split_the_cpu_unless_it_is_too_late():
    result = subprocess.run(
        [sys.executable, "-c", SPLIT],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "can be split into 3 devices only before TensorFlow is first used" in result.stdout


def test_a_cpu_in_use_is_not_split(cpu_only):
    tf.constant(1.0)
    tf.config.list_logical_devices()
    with pytest.raises(UserError, match="only before TensorFlow is first used"):
        choose_strategy(2)


def test_workers_cannot_be_joined_once_tensorflow_is_in_use(monkeypatch):
    tf.constant(1.0)
    tf.config.list_logical_devices()
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({**CLUSTER, "task": task}))
    with pytest.raises(UserError, match="joined only before TensorFlow is first used"):
        choose_strategy()


@pytest.mark.parametrize("devices", [0, -1])
def test_fewer_than_one_device_is_refused(devices):
    with pytest.raises(UserError, match=f"devices must be 1 or more. Received: devices={devices}"):
        choose_strategy(devices)


@pytest.mark.parametrize(
    ("gpus", "devices", "expected"),
    [
        (2, None, ["GPU:0", "GPU:1"]),
        (4, 3, ["GPU:0", "GPU:1", "GPU:2"]),
        (2, 2, ["GPU:0", "GPU:1"]),
    ],
)
def test_several_gpus_mirror(monkeypatch, gpus, devices, expected):
    pretend_gpus(monkeypatch, gpus)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)
    assert choose_strategy(devices) == expected


@pytest.mark.parametrize(("gpus", "devices"), [(1, None), (4, 1)])
def test_one_gpu_needs_no_strategy(monkeypatch, gpus, devices):
    pretend_gpus(monkeypatch, gpus)
    assert choose_strategy(devices) is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("devices", "expected"), [(None, []), (1, ["gpu0"]), (2, ["gpu0", "gpu1"]), (3, [])]
)
def test_the_other_gpus_are_left_alone(monkeypatch, devices, expected):
    """TensorFlow takes the memory of every GPU that it can see."""
    visible = pretend_gpus(monkeypatch, 3)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)
    choose_strategy(devices)
    assert visible == expected


def test_gpus_in_use_are_not_given_back(monkeypatch):
    pretend_gpus(monkeypatch, 2)

    def too_late(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", too_late)
    with pytest.raises(UserError, match="1 of 2 GPUs .* only before TensorFlow is first used"):
        choose_strategy(1)


def test_more_devices_than_gpus_are_refused_with_both_numbers(monkeypatch):
    pretend_gpus(monkeypatch, 2)
    with pytest.raises(UserError, match="devices=3, but this machine has 2 GPUs"):
        choose_strategy(3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 1),
        ("", 1),
        ("{}", 1),
        (json.dumps({"cluster": {}}), 1),
        (json.dumps({"cluster": {"worker": ["a:1"]}}), 1),
        (json.dumps({**CLUSTER, "task": {"type": "worker", "index": 1}}), 2),
        (json.dumps({**CHIEF, "task": {"type": "chief", "index": 0}}), 2),
    ],
)
def test_tf_config_says_how_many_workers(monkeypatch, text, expected):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    assert cluster_size() == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "worker 0",
        "[]",
        "3",
        '{"cluster": []}',
        '{"cluster": {"worker": 2}}',
        '{"cluster": {"worker": "a:1,b:1"}}',
        json.dumps({**CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({**CLUSTER, "task": {"type": "worker", "index": "0"}}),
        json.dumps({**CLUSTER, "task": {"type": "ps", "index": 0}}),
        json.dumps(CLUSTER),
    ],
)
def test_a_tf_config_that_cannot_work_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG"):
        choose_strategy()


def test_a_batch_that_cannot_be_shared_out_is_refused(film_folder, tiny, tmp_path):
    class Two:
        """As much of a strategy as is looked at before training."""

        num_replicas_in_sync = 2
        cluster_resolver = None

    with pytest.raises(UserError, match=r"number of devices, 2. Received: batch=3"):
        train(replace(tiny, batch=3), film_folder, tmp_path / "run", strategy=Two())
    assert not (tmp_path / "run").exists()


class Cluster(tf.distribute.MultiWorkerMirroredStrategy):
    """What a strategy of several workers says of them, without waiting for the others."""

    def __init__(self, cluster: dict[str, list[str]], kind: str | None, index: int | None) -> None:
        self._resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster), task_type=kind, task_id=index
        )

    @property
    def cluster_resolver(self):
        return self._resolver

    @property
    def num_replicas_in_sync(self) -> int:
        return 2


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        (WORKERS, "worker", 0, (0, 2)),
        (WORKERS, "worker", 1, (1, 2)),
        ({"chief": ["c:1"], **WORKERS}, "chief", 0, (0, 3)),
        ({"chief": ["c:1"], **WORKERS}, "worker", 0, (1, 3)),
        ({}, None, None, (0, 1)),
    ],
)
def test_one_worker_writes_and_all_read_their_part(cluster, kind, index, expected):
    strategy = Cluster(cluster, kind, index)
    assert pipelines(strategy) == expected
    assert is_chief(strategy) == (expected[0] == 0)


def test_several_workers_count_in_steps(film_folder, tiny, tmp_path):
    config = replace(tiny, steps=None, minutes=1.0)
    with pytest.raises(UserError, match=r"count in steps.*minutes=1.0"):
        train(config, film_folder, tmp_path / "run", strategy=Cluster(WORKERS, "worker", 0))
    assert not (tmp_path / "run").exists()
