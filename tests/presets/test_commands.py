"""What the command line does with presets."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import xraysr.cli
from xraysr.io import Radiograph, read, write


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command line in this process; returns exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xraysr", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            xraysr.cli.main()
        return stop.value.code or 0, *capfd.readouterr()

    return run


def test_models_lists_the_presets(run, put):
    put("base-x4")
    put("edge-x2")
    code, out, _ = run("models")
    assert code == 0
    for text in ("base-x4", "edge-x2", "Best fidelity", "32:128 +1.50", "no restriction"):
        assert text in out


def test_models_shows_a_card(run, put):
    card = put("base-x4")
    assert run("models", "base-x4") == (0, card.markdown() + "\n", "")
    code, out, _ = run("models", "base-x4", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(card.to_json()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("models", "base-x3"), "No preset is named base-x3. base comes for x4; for x3"),
        (("models", "--json"), "--json shows the card of one preset: name it"),
        (("upscale", "base-x3", "film.png", "-o", "sr.png"), "base comes for x4; for x3"),
        (("export", "base-x3", "out", "--format", "saved_model"), "base comes for x4; for x3"),
        (("upscale", "base-x4", "film.png", "-o", "sr.png"), "base-x4.safetensors are damaged"),
    ],
)
def test_mistakes_are_one_line(run, put, tmp_path, monkeypatch, words, told):
    put("base-x4")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words)
    assert code == 1
    assert "Traceback" not in err + out
    assert err.splitlines()[-1].startswith("xraysr: ")
    assert told in err


def test_a_preset_upscales_evaluates_and_exports_by_name(run, shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number in range(2):
        film = random.random((64, 64), dtype=np.float32)
        write(tmp_path / "films" / "test" / f"{number}.png", Radiograph(film))
    code, _, err = run("upscale", "base-x4", "films/test/0.png", "-o", "sr.png")
    assert code == 0, err
    assert read("sr.png").size == (256, 256)
    code, out, err = run("evaluate", "base-x4", "--data", "films", "--pair", "16:64")
    assert code == 0, err
    assert "base-x4" in out and "Lanczos" in out
    code, out, err = run("export", "base-x4", "edge.tflite", "--format", "tflite")
    assert code == 0, err
    assert "differs from Keras by" in out
    assert xraysr.load("edge.tflite").spec.name == "base-x4"
