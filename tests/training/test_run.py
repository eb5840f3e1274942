"""The folder of a run: what is read back after a process was killed while it wrote."""

import json

import pytest

from xraysr.errors import UserError
from xraysr.training import Run


@pytest.fixture
def run(tiny, tmp_path):
    return Run.create(tmp_path / "run", tiny)


def test_records_come_back_without_the_line_that_was_left_unfinished(run):
    run.record({"step": 0, "val_psnr": 30.0})
    run.record({"step": 1, "content": 0.5})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "conte\xff')
    assert [entry["step"] for entry in run.records()] == [0, 1]
    run.forget_after(2)
    run.record({"step": 2, "content": 0.4})
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]


def test_what_comes_after_a_step_is_forgotten(run):
    for step in range(4):
        run.record({"step": step, "val_psnr": 30.0 + step})
    run.forget_after(2)
    assert run.scores() == {0: 30.0, 1: 31.0, 2: 32.0}
    run.forget_after(-1)
    assert run.records() == []


def test_a_folder_opens_with_the_settings_it_was_made_with(run, tiny, tmp_path):
    assert Run.open(run.path).config == tiny
    assert not run.finished
    assert run.environment() is None
    with pytest.raises(UserError, match="holds no config.json"):
        Run.open(tmp_path)
    with pytest.raises(UserError, match="before it began"):
        run.data_root()
    (run.path / "config.json").write_text("{")
    with pytest.raises(UserError, match="Cannot read the settings"):
        Run.open(run.path)


def test_an_existing_folder_is_replaced_only_where_it_is_a_run_and_when_asked(run, tiny, tmp_path):
    run.record({"step": 0})
    with pytest.raises(UserError, match="--resume"):
        Run.create(run.path, tiny)
    assert run.records() == [{"step": 0}]
    assert Run.create(run.path, tiny, overwrite=True).records() == []
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(UserError, match="not a run"):
        Run.create(tmp_path / "notes", tiny, overwrite=True)
