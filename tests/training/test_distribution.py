"""One loop for every strategy: several devices and several processes do what one device does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # TensorFlow begins anew for several devices

HERE = Path(__file__).parent
PARTS = ("generator", "averaged", "discriminator", "optimizer", "discriminator_optimizer")
CASES = ("bce", "relativistic")
STEPS = 5
TOLERANCE = 1e-5  # sums of another order; what the steps change is ten times that
# The one variable that counts a step passed over: how many were taken since the last such one.
GUARD_COUNTER = {f"{part}/002/{replica}" for part in PARTS[3:] for replica in (0, 1)}


def start(script: str, *arguments: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "CUDA_VISIBLE_DEVICES": "",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]], seconds: float) -> None:
    """Waits for all of them; whatever happens, none of them outlives the test."""
    try:
        for process in processes:
            output, _ = process.communicate(timeout=seconds)
            assert process.returncode == 0, output[-4000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cases(film_folder, tmp_path_factory) -> Path:
    """What replica_cases.py writes."""
    out = tmp_path_factory.mktemp("cases")
    finish([start("replica_cases.py", film_folder, out)], seconds=600)
    return out


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def variables(arrays: dict[str, np.ndarray], replica: int = 0) -> dict[str, np.ndarray]:
    """The variables of one replica."""
    end = f"/{replica}"
    return {k[: -len(end)]: v for k, v in arrays.items() if k.endswith(end) and k[:5] in STARTS}


STARTS = {part[:5] for part in PARTS}


def farthest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    assert len(one) > 50
    return max(float(np.abs(one[k].astype(np.float64) - other[k]).max()) for k in one)


@pytest.mark.parametrize("case", CASES)
def test_two_devices_with_half_the_batch_each_end_where_one_ends(cases, case):
    """With gradient clipping, synchronised BatchNorm, and in `relativistic` R1 and spectral
    normalisation too: both networks, the average, and both optimizers."""
    one, two = (read(cases / f"{case}_{devices}.npz") for devices in (1, 2))
    assert {name.split("/")[0] for name in variables(one)} == set(PARTS)
    assert farthest(variables(one), variables(two)) < TOLERANCE
    for name in ("content", "adversarial", "discriminator", "accuracy"):
        assert two[name] == pytest.approx(one[name], rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_tolerance_is_far_below_what_the_steps_changed(cases, case):
    arrays = read(cases / f"{case}_1.npz")
    for part in PARTS:
        changes = [
            np.abs(value - arrays[f"first/{name}/0"]).max()
            for name, value in variables(arrays).items()
            if name.startswith(part + "/")
        ]
        assert max(changes) > 1e-4


@pytest.mark.parametrize("case", CASES)
def test_both_devices_hold_the_same(cases, case):
    arrays = read(cases / f"{case}_2.npz")
    assert farthest(variables(arrays, 0), variables(arrays, 1)) == 0.0


@pytest.mark.parametrize("case", CASES)
def test_nan_on_one_device_is_passed_over_by_all_and_the_next_step_is_taken(cases, case):
    before, after, later = (
        read(cases / f"{case}_{name}.npz") for name in ("before_nan", "after_nan", "next")
    )
    assert after["skipped"] == 1.0
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == GUARD_COUNTER
    assert later["skipped"] == 0.0
    assert all(np.isfinite(value).all() for value in later.values())
    for part in PARTS:
        names = [name for name in before if name.startswith(part + "/")]
        assert any(not np.array_equal(later[name], after[name]) for name in names)
    assert farthest(variables(later, 0), variables(later, 1)) == 0.0


def test_adversarial_losses_and_their_gradients_do_not_depend_on_the_number_of_devices(cases):
    one, two = (read(cases / f"losses_{devices}.npz") for devices in (1, 2))
    assert len(one) == 4 * (2 + 4)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_averaged_generator_is_the_moving_average_on_two_devices(cases):
    first = read(cases / "bce_2.npz")
    steps = [read(cases / f"step_{number}.npz") for number in range(STEPS)]
    names = [name for name in steps[0] if name.startswith("generator/") and name.endswith("/0")]
    copied, moved = [], []
    for name in names:
        average = first[f"first/{name}"].astype(np.float64)
        apart = 0.0
        for number, step in enumerate(steps, start=1):
            decay = min(0.999, (1 + number) / (10 + number))
            average = decay * average + (1 - decay) * step[name]
            seen = step[name.replace("generator", "averaged")]
            apart = max(apart, np.abs(seen - average).max())
        if np.array_equal(seen, step[name]):
            copied.append(name)
        else:
            assert apart < 1e-6, name
            moved.append(np.abs(average - first[f"first/{name}"]).max())
    assert len(copied) == 4  # mean and variance of the block's two BatchNorms
    assert max(moved) > 5e-5


def test_fit_and_evaluate_work_on_several_devices_and_agree_with_one(cases):
    one, two = (read(cases / f"fit_{devices}.npz") for devices in (1, 2))
    assert farthest(variables(one), variables(two)) < TOLERANCE
    for name in ("content", "adversarial", "discriminator", "accuracy", "psnr"):
        assert two[name] == pytest.approx(one[name], abs=1e-4), name


def test_a_float16_overflow_is_passed_over_by_all_and_halves_both_loss_scales(cases):
    arrays = read(cases / "float16_overflow.npz")
    np.testing.assert_array_equal(arrays["scales"], [2.0**39] * 2)
    np.testing.assert_array_equal(arrays["steps"], [0, 0])
    assert arrays["skipped"] == 0.0  # the search for a scale is no fault of the run
    for part in PARTS[:2]:
        for name in (name for name in arrays if name.startswith(part + "/")):
            np.testing.assert_array_equal(arrays[name], arrays[f"before/{name}"], err_msg=name)


def test_a_float16_step_updates_float32_weights_alike_on_all_devices(cases):
    arrays = read(cases / "float16_scaled.npz")
    np.testing.assert_array_equal(arrays["scales"], [2.0**8] * 2)
    np.testing.assert_array_equal(arrays["steps"], [1, 1])
    assert farthest(variables(arrays, 0), variables(arrays, 1)) == 0.0
    for part in PARTS[:3]:
        names = [name for name in arrays if name.startswith(part + "/")]
        assert all(arrays[name].dtype == np.float32 for name in names)
        assert any(not np.array_equal(arrays[name], arrays[f"before/{name}"]) for name in names)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; open at the same time, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def test_two_workers_end_alike_and_where_one_process_ends(film_folder, tmp_path):
    """`train` in two processes that TF_CONFIG joins; the first one alone writes the run."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    out = tmp_path / "run"
    workers = [
        start(
            "worker_case.py", film_folder, out, tmp_path / f"worker_{index}.npz",
            TF_CONFIG=json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            ),
        )
        for index in range(2)
    ]  # fmt: skip
    alone = start("worker_case.py", film_folder, tmp_path / "alone", tmp_path / "one.npz")
    finish([*workers, alone], seconds=600)
    chief, other, one = (read(tmp_path / f"{name}.npz") for name in ("worker_0", "worker_1", "one"))
    assert (chief.pop("writes"), other.pop("writes"), one.pop("writes")) == (True, False, True)
    assert chief.pop("strategy") == other.pop("strategy") == "CollectiveAllReduceStrategy"
    assert one.pop("strategy") == "_DefaultDistributionStrategy"
    assert farthest(chief, other) == 0.0
    assert farthest(chief, one) < TOLERANCE
    assert sorted(path.name for path in tmp_path.rglob("generator.keras")) == [
        "generator.keras", "generator.keras",
    ]  # fmt: skip
    assert len(list((out / "tensorboard").iterdir())) == 1
    records = (out / "metrics.jsonl").read_text().splitlines()
    assert len(records) == len((tmp_path / "alone" / "metrics.jsonl").read_text().splitlines())
