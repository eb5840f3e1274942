"""Checkpoints are whole or absent, and a damaged one is passed over with its name."""

import os
import random
import time

import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.training.checkpoints import KEPT, Checkpoints

DATA = "step-10.data-00000-of-00001"


def parts() -> dict:
    return {
        "network": [tf.Variable(tf.zeros([40, 50])) for _ in range(5)],
        "step": tf.Variable(0, dtype=tf.int64),
    }


def fill(parts: dict, number: float) -> None:
    for variable in (*parts["network"], parts["step"]):
        variable.assign(tf.cast(tf.fill(variable.shape, number), variable.dtype))


def held(parts: dict) -> set[float]:
    """Every value that any of the variables has anywhere."""
    return {
        float(x) for each in (*parts["network"], parts["step"]) for x in np.unique(each.numpy())
    }


@pytest.fixture
def saved(tmp_path):
    """Variables and a folder with checkpoints of steps 0, 5 and 10, each full of its step."""
    variables, folder = parts(), tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, variables)
    for step in (0, 5, 10):
        fill(variables, step)
        checkpoints.save(step)
    fill(variables, -1)
    return variables, folder


def test_the_newest_is_restored_and_the_last_few_are_kept(saved):
    variables, folder = saved
    assert Checkpoints(folder, variables).restore() == []
    assert held(variables) == {10}
    for step in (15, 20):
        Checkpoints(folder, variables).save(step)
    steps = sorted(int(path.stem.split("-")[1]) for path in folder.glob("*.index"))
    assert steps == [10, 15, 20]
    assert len(steps) == KEPT


def test_steps_are_ordered_as_numbers(saved):
    variables, folder = saved
    fill(variables, 9)
    Checkpoints(folder, variables).save(9)
    Checkpoints(folder, variables).restore()
    assert held(variables) == {10}


def test_without_any_checkpoint_nothing_changes(tmp_path):
    variables = parts()
    fill(variables, 3)
    checkpoints = Checkpoints(tmp_path / "checkpoints", variables)
    assert checkpoints.restore() == []
    assert checkpoints.paths() == []
    assert held(variables) == {3}


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


@pytest.mark.parametrize("name", ["step-10.index", DATA])
@pytest.mark.parametrize(
    "damage",
    [flip, lambda content: content[: len(content) // 2], lambda content: b"", None],
    ids=["flipped bit", "truncated", "empty", "missing"],
)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(saved, name, damage):
    variables, folder = saved
    path = folder / name
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    (line,) = Checkpoints(folder, variables).restore()
    assert line.startswith("The checkpoint step-10 is damaged: ")
    assert "function_node" not in line
    assert held(variables) == {5}


def test_whatever_bytes_are_damaged_nothing_of_them_reaches_the_state(saved):
    variables, folder = saved
    chance = random.Random(0)
    for name in ("step-10.index", DATA):
        whole = (folder / name).read_bytes()
        for _ in range(15):
            content = bytearray(whole)
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            (folder / name).write_bytes(content)
            fill(variables, -1)
            damaged = Checkpoints(folder, variables).restore()
            assert held(variables) == ({5} if damaged else {10})
        (folder / name).write_bytes(whole)


def test_with_all_damaged_the_run_stops_and_names_them(saved):
    variables, folder = saved
    for path in folder.glob("*.data*"):
        path.write_bytes(flip(path.read_bytes()))
    with pytest.raises(UserError, match="step-10 .*step-5 .*step-0 .*overwrite=True"):
        Checkpoints(folder, variables).restore()


def test_a_full_disk_leaves_the_last_whole_one_and_no_half_one(saved, largest_file):
    variables, folder = saved
    checkpoints = Checkpoints(folder, variables)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    fill(variables, 15)
    with largest_file(20_000), pytest.raises(UserError) as caught:
        checkpoints.save(15)
    assert "step 15 could not be written" in str(caught.value)
    assert "File too large" in str(caught.value)
    assert "The last whole checkpoint is that of step 10." in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert Checkpoints(folder, variables).restore() == []
    assert held(variables) == {10}
    fill(variables, 15)
    checkpoints.save(15)
    fill(variables, -1)
    assert checkpoints.restore() == []
    assert held(variables) == {15}


def test_an_unwritable_folder_is_named_with_the_cause(tmp_path):
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(UserError, match="not a directory.*There is no checkpoint yet"):
        Checkpoints(tmp_path / "checkpoints", parts()).save(0)


def test_what_a_killed_process_left_half_written_is_cleared(saved):
    variables, folder = saved
    half = folder / "step-15_temp"
    half.mkdir()
    (half / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    checkpoints = Checkpoints(folder, variables, writes=False)
    assert half.exists(), "another worker may be writing it"
    checkpoints = Checkpoints(folder, variables)
    assert not half.exists()
    assert checkpoints.restore() == []
    assert held(variables) == {10}


def test_a_clock_set_back_or_a_lost_list_loses_no_checkpoint(saved, monkeypatch):
    variables, folder = saved
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - 1e6)
        assert Checkpoints(folder, variables).restore() == []
    assert held(variables) == {10}
    fill(variables, -1)
    (folder / "checkpoint").unlink()
    assert Checkpoints(folder, variables).restore() == []
    assert held(variables) == {10}


def test_only_the_worker_that_writes_writes(tmp_path):
    Checkpoints(tmp_path / "checkpoints", parts(), writes=False).save(5)
    assert not os.path.exists(tmp_path / "checkpoints")
