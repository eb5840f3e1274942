"""`kill -9` at random steps, in both phases: the run ends as if nothing had happened.

The runs are real processes. They are forked from a server that has imported TensorFlow and not
yet used it, because importing takes longer than training here.
"""

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from xraysr.models.open import load_generator
from xraysr.training import Run, TrainConfig, resume_training, train

SECONDS_TO_WAIT = 120
VOLATILE = {"seconds", "images_per_second"}


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xraysr.training.launch"])
    return context


def kill_at(process, run, step: int, delay: float) -> None:
    """Kills `process` some time after it recorded `step`."""
    patience = time.monotonic() + SECONDS_TO_WAIT
    while reached(run) < step:
        assert process.is_alive(), f"it ended by itself before step {step}"
        assert time.monotonic() < patience, f"it did not reach step {step}"
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def reached(path) -> int:
    """The last whole step in metrics.jsonl, read as it is being written."""
    try:
        lines = (path / "metrics.jsonl").read_text("utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return -1
    return max((json.loads(line)["step"] for line in lines), default=-1)


def last_checkpoint(run) -> dict[str, np.ndarray]:
    """Every variable in it by name; the clock's and the description of the graph left out."""
    reader = tf.train.load_checkpoint(str(run.path / "checkpoints"))
    names = reader.get_variable_to_shape_map()
    found = {name: reader.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name}
    (text,) = (name for name in names if name.startswith("state/"))
    found[text] = {k: v for k, v in json.loads(found[text]).items() if k != "seconds"}
    return found


def records(run) -> list[dict]:
    return [
        {name: value for name, value in entry.items() if name not in VOLATILE}
        for entry in run.records()
    ]


@pytest.mark.slow
def test_a_run_killed_five_times_ends_bit_identical(processes, film_folder, tmp_path):
    config = TrainConfig(
        "16:64", steps=24, adversarial_share=0.5, depth=1, width=8, batch=2, crop=8,
        validate_every=4, batch_norm=True, spectral_norm=True,
    )  # fmt: skip
    whole = train(config, film_folder, tmp_path / "whole")
    chance = random.Random(3)
    content, adversarial = range(2, 12), range(13, 23)
    steps = [*sorted(chance.sample(content, 2)), *sorted(chance.sample(adversarial, 3))]
    run = Run(tmp_path / "killed", config)
    for step in steps:
        begun = (run.path / "data.json").is_file()
        process = (
            processes.Process(target=resume_training, args=(run.path,))
            if begun
            else processes.Process(target=train, args=(config, film_folder, run.path))
        )
        process.start()
        kill_at(process, run.path, step, chance.uniform(0, 0.1))
    assert not run.finished
    resume_training(run.path)

    weights = (load_generator(each.generator).get_weights() for each in (whole, run))
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)
    one, two = last_checkpoint(whole), last_checkpoint(run)
    assert set(one) == set(two)
    assert len(one) > 100
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert records(run) == records(whole)


WORKER = """
import sys
from pathlib import Path
from xraysr.training import Interrupted, TrainConfig, choose_strategy, resume_training, train

how, films, out = sys.argv[1], *map(Path, sys.argv[2:])
config = TrainConfig(
    "16:64", steps=16, adversarial_from=8, depth=1, width=8, batch=4, crop=8, validate_every=4
)
try:
    if how == "resume":
        resume_training(out, strategy=choose_strategy())
    else:
        train(config, films, out, strategy=choose_strategy())
except Interrupted as stop:
    sys.exit(str(stop))
"""


def workers(*arguments) -> list[subprocess.Popen[str]]:
    """Two workers on loopback."""
    with socket.socket() as one, socket.socket() as two:
        addresses = []
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{each.getsockname()[1]}")
    cluster = {"worker": addresses}
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def outcome(processes) -> list[tuple[int, str]]:
    try:
        errors = [process.communicate(timeout=SECONDS_TO_WAIT)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.mark.slow
def test_sigterm_to_one_worker_ends_both_and_both_go_on(film_folder, tmp_path):
    for code, error in outcome(workers("train", film_folder, tmp_path / "whole")):
        assert code == 0, error
    out = tmp_path / "stopped"
    both = workers("train", film_folder, out)
    patience = time.monotonic() + SECONDS_TO_WAIT
    while reached(out) < 6 and time.monotonic() < patience:
        time.sleep(0.01)
    both[1].send_signal(signal.SIGTERM)
    (first, said), (second, said_too) = outcome(both)
    assert (first, second) == (1, 1), said + said_too
    assert "Another worker was asked to stop: stopped at step" in said
    assert "SIGTERM: stopped at step" in said_too
    for code, error in outcome(workers("resume", film_folder, out)):
        assert code == 0, error
    one, two = Run.open(tmp_path / "whole"), Run.open(out)
    for a, b in zip(*(load_generator(r.generator).get_weights() for r in (one, two)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert records(one) == records(two)
