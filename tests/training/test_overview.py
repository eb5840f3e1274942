"""Runs side by side: the numbers of each, whatever state it is in."""

from dataclasses import replace

import pytest

from xraysr.errors import UserError
from xraysr.training import Run
from xraysr.training.overview import COLUMNS, runs_table


def rows(folder) -> dict[str, dict[str, str]]:
    table = runs_table(folder)
    columns = [list(column.cells) for column in table.columns]
    assert [column.header for column in table.columns] == list(COLUMNS)
    lines = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
    return {line["run"]: line for line in lines}


@pytest.fixture
def folder(tiny, tmp_path):
    """A finished run, a better one that was stopped, one of another pair, a new one."""
    done = Run.create(tmp_path / "done", replace(tiny, steps=200))
    for step, score in ((0, 30.0), (100, 32.5), (200, 32.0)):
        phase = "content" if step <= 100 else "adversarial"
        done.record({"step": step, "phase": phase, "seconds": 0.6 * step, "content": 0.1})
        done.record({"step": step, "val_psnr": score, "drift": 0.0})
    done.record({"step": 0, "lanczos_psnr": 29.5})
    done.generator.write_bytes(b"")
    stopped = Run.create(tmp_path / "stopped", replace(tiny, steps=None, minutes=10, width=16))
    stopped.record({"step": 0, "val_psnr": 30.0, "drift": 0.0})
    stopped.record({"step": 70, "phase": "content", "seconds": 90.0})
    stopped.record({"step": 70, "val_psnr": 33.0, "drift": 0.0})
    Run.create(tmp_path / "larger", replace(tiny, pair="32:128"))
    Run.create(tmp_path / "new", tiny)
    (tmp_path / "no run").mkdir()
    (tmp_path / "file.txt").write_text("")
    return tmp_path


def test_each_run_is_one_row_with_its_scores(folder):
    table = rows(folder)
    assert list(table["done"].values()) == [
        "done", "16:64", "finished (adversarial)", "200 of 200", "2.0", "1 x 8",
        "32.500", "32.000", "+3.000",
    ]  # fmt: skip
    assert list(table["stopped"].values()) == [
        "stopped", "16:64", "stopped (content)", "70", "1.5 of 10", "1 x 16",
        "33.000", "33.000", "",
    ]  # fmt: skip
    assert list(table["new"].values()) == [
        "new", "16:64", "stopped (new)", "0 of 12", "0.0", "1 x 8", "", "", "",
    ]  # fmt: skip


def test_a_generator_of_the_user_stands_in_place_of_depth_and_width(folder, tiny):
    Run.create(folder / "own", tiny, {"generator": "films.Tiny"})
    assert rows(folder)["own"]["depth x width"] == "films.Tiny"


def test_the_best_run_of_a_pair_comes_first(folder):
    assert list(rows(folder)) == ["stopped", "done", "new", "larger"]


def test_damaged_runs_are_named_with_the_reason(folder):
    (folder / "done" / "config.json").write_text("not json")
    (folder / "stopped" / "metrics.jsonl").write_text('{"step": 0, "val_psnr": "high"}\n')
    (folder / "larger" / "config.json").write_text('{"pair": "32:128", "steps": 5, "crop": 900}')
    table = rows(folder)
    assert len(table) == 4
    assert table["done"]["status"].startswith("damaged: Cannot read the settings")
    assert "could not convert" in table["stopped"]["status"]
    assert "crop=900" in table["larger"]["status"]
    assert table["new"]["status"] == "stopped (new)"


def test_a_single_run_may_be_named_and_no_run_is_an_error(folder):
    assert list(rows(folder / "done")) == ["done"]
    with pytest.raises(UserError, match="No run in"):
        runs_table(folder / "no run")
    with pytest.raises(UserError, match="must be a folder"):
        runs_table(folder / "file.txt")
