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
    with pytest.raises(UserError, match="Resume the run in it"):
        Run.refuse_existing(run.path, overwrite=False)
    Run.refuse_existing(run.path, overwrite=True)
    assert Run.create(run.path, tiny).records() == []
    notes = tmp_path / "notes"
    notes.mkdir()
    Run.refuse_existing(notes, overwrite=False)
    (notes / "cache").mkdir()
    Run.refuse_existing(notes, overwrite=False, cache=notes / "cache")
    for text in ("mine", "{", "[]", '{"pair": "64:256"}'):
        (notes / "config.json").write_text(text)
        with pytest.raises(UserError, match="not a run"):
            Run.refuse_existing(notes, overwrite=True)


def test_a_new_run_removes_the_files_of_an_older_one_and_no_others(run, tiny):
    stays = [run.path / each for each in ("a.txt", "samples/mine.png", "checkpoints/notes/b.txt")]
    goes = [
        run.path / each
        for each in ("metrics.jsonl", "generator.keras", "samples/step_0000005.png",
                     "checkpoints/step-5.index", "tensorboard/events.out.tfevents.1.v2")
    ]  # fmt: skip
    for path in (*stays, *goes):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    Run.create(run.path, tiny)
    assert all(path.exists() for path in stays)
    assert not any(path.exists() for path in goes)


def test_own_parts_are_kept_with_the_settings(tiny, tmp_path):
    own = {"generator": "films.Tiny"}
    Run.create(tmp_path / "run", tiny, own)
    assert Run.open(tmp_path / "run").own_parts == own
    assert Run.open(tmp_path / "run").config == tiny
