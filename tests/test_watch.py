"""The command `watch` as a process: signals, locks, exit codes and what it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xraysr.cli.watch import _is_journal, _JournalLine
from xraysr.io import Radiograph, read, write

# The command line with a runtime that doubles pixels, prints how it was opened, and gets each of
# the signals named first while it has a film in hand.
WATCH = """
import os, sys
import xraysr.upscale.edge as edge
from xraysr.cli import main
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler

class Twice:
    spec = ModelSpec("twice", 2, receptive_radius=1, weights_sha256="")
    def run(self, batch):
        for number in filter(None, signals.split(",")):
            os.kill(os.getpid(), int(number))
        return batch.repeat(2, axis=1).repeat(2, axis=2)

def opened(model, **options):
    print(model, options, flush=True)
    return Upscaler(Twice())

signals = sys.argv.pop(1)
edge.EdgeUpscaler = opened
main()
"""


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """An inbox with two films, and an output that is not there yet."""
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).random((4, 5), dtype=np.float32)
        write(tmp_path / "inbox" / name, Radiograph(pixels))
    return tmp_path / "inbox", tmp_path / "out"


def command(*words: object, signals: tuple[int, ...] = ()) -> list[str]:
    numbers = ",".join(str(int(number)) for number in signals)
    return [sys.executable, "-c", WATCH, numbers, "watch", *map(str, words)]


def watch(*words: object, signals: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words, signals=signals), capture_output=True, text=True, timeout=120
    )


def films(folder: Path) -> list[str]:
    """All but what a process that was killed left in its own folder, which the next one clears."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    return sorted(name for name in names if not name.startswith(".xraysr/work/"))


def test_once_does_what_is_there_and_says_a_line_for_each_film(folders):
    inbox, out = folders
    done = watch("m.tflite", inbox, out, "--once", "--every", 0.01)
    assert done.returncode == 0, done.stderr
    assert films(out) == ["a.png", "b.png"]
    assert films(inbox) == ["processed/a.png", "processed/b.png"]
    assert read(out / "a.png").size == (8, 10)
    first, *lines = done.stderr.splitlines()
    assert first == f"{inbox}: watched, with twice"
    assert len(lines) == 4  # noise is unlike films: a notice each
    for line, name in zip(lines[::2], ("a.png", "b.png"), strict=True):
        assert line.startswith(f"{name}: {out / name}, ") and line.endswith(" s")
    assert all("notice lr-consistency: " in line for line in lines[1::2])


def test_once_tells_by_its_code_that_a_film_was_not_done(folders):
    inbox, out = folders
    (inbox / "bad.png").write_text("no film")
    done = watch("m.tflite", inbox, out, "--once", "--every", 0.01)
    assert done.returncode == 1
    assert "bad.png: quarantined as" in done.stderr and "Traceback" not in done.stderr
    assert films(out) == ["a.png", "b.png"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_film_in_hand(folders, number, code):
    inbox, out = folders
    done = watch("m.tflite", inbox, out, "--every", 0.01, signals=(number,))
    assert done.returncode == code, done.stderr
    assert films(out) == ["a.png"]
    assert films(inbox) == ["b.png", "processed/a.png"]


def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(folders):
    inbox, out = folders
    done = watch("m.tflite", inbox, out, "--every", 0.01, signals=(signal.SIGINT,) * 2)
    assert done.returncode == -signal.SIGINT
    assert (films(inbox), films(out)) == (["a.png", "b.png"], [])
    assert watch("m.tflite", inbox, out, "--once", "--every", 0.01).returncode == 0
    assert films(out) == ["a.png", "b.png"]


def test_a_signal_while_nothing_is_there_ends_it_too_and_a_second_watcher_cannot_start(folders):
    inbox, out = folders
    with subprocess.Popen(
        command("m.tflite", inbox, out, "--every", 3600), stderr=subprocess.PIPE, text=True
    ) as first:
        assert "watched, with twice" in first.stderr.readline()
        second = watch("m.tflite", inbox, out, "--once", "--every", 0.01)
        assert second.returncode == 1
        assert second.stderr == f"xraysr: Another watcher uses {inbox}: end it first.\n"
        first.terminate()
        assert first.wait(timeout=60) == 0
    assert films(out) == []


def test_threads_and_memory_reach_the_edge_runtime(folders):
    words = ("m.tflite", *folders, "--once", "--every", 0.01)
    assert "m.tflite {'threads': 2, 'memory_mb': None}" in watch(*words).stdout
    more = watch(*words, "--threads", 3, "--memory-mb", 80)
    assert "m.tflite {'threads': 3, 'memory_mb': 80.0}" in more.stdout


def test_a_preset_opens_as_tflite_on_a_device(folders):
    """Where TensorFlow is not installed."""
    script = "import sys; sys.modules['tensorflow'] = None\n" + WATCH
    words = ("watch", "edge-x4", *folders, "--once", "--every", 0.01, "--memory-mb", 80)
    done = subprocess.run(
        [sys.executable, "-c", script, "", *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "edge-x4.tflite {'threads': 2, 'memory_mb': 80.0}" in done.stdout


@pytest.mark.parametrize("option", [("--threads", 1), ("--memory-mb", 100)])
def test_they_are_refused_for_other_models(folders, option):
    done = watch("http://host:8501/v1/models/edge", *folders, *option)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("xraysr: --threads and --memory-mb are for .tflite models")


@pytest.mark.parametrize("wrong", ["model", "inbox"])
def test_a_mistake_is_one_line(folders, tmp_path, wrong):
    inbox, out = folders
    model = tmp_path / "nowhere.keras" if wrong == "model" else "m.tflite"
    done = watch(model, inbox if wrong == "model" else tmp_path / "nowhere", out, "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("xraysr: ") and done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr


def test_the_journal_gets_priorities_and_nobody_else(monkeypatch, tmp_path):
    import logging

    with (tmp_path / "journal").open("w") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert _is_journal(file.fileno())
        with (tmp_path / "other").open("w") as other:
            assert not _is_journal(other.fileno())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not _is_journal(file.fileno())
    lines = [
        _JournalLine().format(logging.LogRecord("", level, "", 0, "%s", ("film",), None))
        for level in (logging.INFO, logging.WARNING, logging.ERROR)
    ]
    assert lines == ["<6>film", "<4>film", "<3>film"]


def test_it_has_every_option_of_upscale(folders):
    inbox, out = folders
    done = watch(
        "m.tflite", inbox, out, "--once", "--every", 0.01, "--faithful", "--maps", "--mark"
    )
    assert done.returncode == 0, done.stderr
    assert "a.added.png" in films(out)
    card = json.loads((out / "a.png.json").read_text("utf-8"))
    assert card["options"] == ["faithful", "marked"]
    done = watch("m.tflite", inbox, out, "--range", "one:two")
    assert (
        done.stderr == "xraysr: --range must be LOW:HIGH, such as -1000:3000. Received: one:two\n"
    )
