"""What long work shows: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import itertools
import re
import time
import types

import pytest

from xraysr import progress
from xraysr.progress import Rate, status_bar, track


@pytest.fixture
def terminal(monkeypatch):
    """Makes rich take stderr for a wide terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def log(monkeypatch):
    """Makes rich take stderr for a file."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch):
    """A clock for the module alone: `clock.now` in seconds."""
    hands = types.SimpleNamespace(now=100.0)
    hands.monotonic = lambda: hands.now
    monkeypatch.setattr(progress, "time", hands)
    return hands


def test_items_pass_one_by_one_and_a_log_gets_one_last_line(log, capsys):
    passed = []
    for item in track((passed.append(n) or n for n in range(5)), "Reading", 5):
        assert passed[-1] == item, "nothing is read ahead"
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Reading 5/5\n"


def test_nothing_to_do_says_so(log, capsys):
    assert list(track([], "Reading", 0)) == []
    assert capsys.readouterr().err == "Reading 0/0\n"


def test_films_left_out_on_the_way_are_not_counted(log, capsys):
    assert list(track(iter("abc"), "Evaluating", 4)) == ["a", "b", "c"]
    assert capsys.readouterr().err == "Evaluating 3/4\n"


def test_a_log_gets_rate_and_time_left_now_and_then(log, clock, capsys):
    for _ in track(range(20), "Preparing", 20):
        clock.now += 5
    lines = capsys.readouterr().err.splitlines()
    # Every 5 s an item, a line when more than 15 s have passed: after 4, 8, 12 and 16.
    assert lines[:2] == [
        "Preparing 4/20 0.2/s, 80 s left",
        "Preparing 8/20 0.2/s, 60 s left",
    ]
    assert len(lines) == 6 and lines[-1] == "Preparing 20/20"


def test_an_error_passes_through(log):
    def broken():
        yield 1
        raise KeyError("film")

    with pytest.raises(KeyError, match="film"):
        list(track(broken(), "Reading", 2))


def test_a_terminal_gets_a_bar_with_count_and_rate(terminal, capsys):
    for _ in track(range(8), "Reading", 8):
        time.sleep(0.06)
    err = capsys.readouterr().err
    assert "Reading" in err and "8/8" in err and "━" in err
    rates = [float(rate) for rate in re.findall(r"([\d.]+)/s", err)]
    assert rates and 0 < rates[-1] < 25  # how far below 1 / 0.06 is the machine's affair


@pytest.mark.parametrize(("speed", "text"), [(None, ""), (12.34, "12.3/s")])
def test_rate(speed, text):
    task = types.SimpleNamespace(finished_speed=None, speed=speed)
    assert Rate().render(task).plain == text


def test_rate_of_a_finished_task_is_its_mean():
    assert Rate().render(types.SimpleNamespace(finished_speed=2.0, speed=9.0)).plain == "2.0/s"


def test_status_in_a_log_comes_at_most_every_15_seconds(log, clock, capsys):
    with status_bar() as bar:
        for step in itertools.count():
            if clock.now >= 140:
                break
            bar.update(step / 40, f"loss {step}")
            clock.now += 1
        bar.line("saved")
    assert capsys.readouterr().err.splitlines() == [
        "  0% loss 0",
        " 38% loss 15",
        " 75% loss 30",
        "saved",
    ]


def test_status_on_a_terminal(terminal, capsys):
    with status_bar() as bar:
        bar.update(0.5, "loss 0.01")
        bar.line("saved")
    err = capsys.readouterr().err
    assert "loss 0.01" in err and "50%" in err and "saved" in err


@pytest.mark.parametrize("name", ["film[left].png", "film[/left].png"])
def test_brackets_in_a_name_are_no_markup(terminal, capsys, name):
    list(track([1], name, 1))
    with status_bar() as bar:
        bar.update(0.5, name)
        bar.line(f"skipped {name}")
    err = capsys.readouterr().err
    assert f"skipped {name}" in err
    assert err.count(name) >= 3
