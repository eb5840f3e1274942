"""From a finished run to a preset: recipes/publish.py on a run of a few films."""

from __future__ import annotations

import json
import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.io import Radiograph, write
from xraysr.models.open import load_preset
from xraysr.models.weights import weights_sha256
from xraysr.presets import ModelCard
from xraysr.training import TrainConfig

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "publish.py"
TRAIN = ["train/00000001_000.png", "train/00000001_001.png", "train/00000002_000.png"]
VAL, TEST = ["val/00000003_000.png"], ["test/00000004_000.png", "test/00000005_000.png"]


@pytest.fixture
def films(tmp_path) -> Path:
    """Six films of five patients under the name of a known data set; HR sizes as small ones."""
    folder = tmp_path / "nih_chest_xray"
    random = np.random.default_rng(0)
    for name in TRAIN + VAL + TEST:
        write(folder / name, Radiograph(random.random((128, 128), dtype=np.float32)))
    return folder


@pytest.fixture
def run_folder(tmp_path, save_model) -> Path:
    """What a finished training leaves."""
    folder = tmp_path / "run"
    config = TrainConfig("16:64", mix=("32:128",), steps=7, depth=1, width=8, crop=8, flips=False)
    write_json(folder / "config.json", config.to_json())
    write_json(folder / "data.json", {"root": "films", "train": TRAIN, "val": VAL, "test": TEST})
    write_json(
        folder / "environment.json",
        {
            "machine": "Linux x86_64",
            "devices": ["CPU:0"],
            "packages": {"keras": "3"},
            "data_sha256": "abc",
            "git_commit": None,
            "resumed": [{"git_commit": "def"}],
        },
    )
    path = save_model(folder / "generator.keras")
    card = path.with_suffix(".spec.json")
    spec = json.loads(card.read_text())
    write_json(card, {**spec, "training": {"steps": 7, "minutes": 0.1}})
    return folder


@pytest.fixture
def publish(monkeypatch, home, run_folder, films):
    """Runs the script as a command, with the shelf for output."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["pairs_of"].__globals__, "HR_SIZES", {"nih_chest_xray": (128,)})

    def publish(*words: object, name: str = "base-x4") -> None:
        command = ["publish.py", run_folder, name, films, "--out", home, *words]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        script["main"]()

    return publish


def test_it_writes_weights_a_complete_card_and_a_recipe(publish, home, run_folder):
    publish("--machine", "2 cores")
    generator, spec = load_preset("base-x4")
    card = ModelCard.load("base-x4")
    assert (spec.name, spec.scale, spec.training["data"]) == ("base-x4", 4, ["nih_chest_xray"])
    assert card.parameters == generator.count_params()
    assert [(each["films"], each["patients"]) for each in card.data] == [(3, 2)]
    entry = card.scores["nih_chest_xray"]["32:128"]
    assert (entry["n"], entry["patients"]) == (2, 2)
    gains = card.gains["nih_chest_xray"]["32:128"]
    assert sorted(gains) == ["00000004_000", "00000005_000"]
    assert card.gain("nih_chest_xray", "32:128")["mean"] == pytest.approx(
        np.mean(list(gains.values())), abs=1e-3
    )
    assert (
        spec.scores["nih_chest_xray"]["32:128"]["psnr"]
        == entry["methods"]["base-x4"]["psnr"]["mean"]
    )
    recipe = tomllib.loads((home / "base-x4.toml").read_text())
    assert recipe["machine"] == "2 cores"
    assert (recipe["sittings"], recipe["films_sha256"]) == (2, "abc")
    assert (recipe["seed"], recipe["steps"], recipe["minutes"]) == (0, 7, 0.1)
    assert recipe["weights_sha256"] == weights_sha256(generator)
    assert recipe["train"] == (
        "xraysr train --data nih_chest_xray --out RUN --pair 16:64 --mix 32:128 --steps 7 "
        "--depth 1 --width 8 --crop 8 --no-flips --learning-rate 0.001"
    )
    assert str(run_folder.parent) not in (home / "base-x4.toml").read_text()


def test_the_machine_is_what_the_run_says_unless_told(publish, home):
    publish()
    recipe = tomllib.loads((home / "base-x4.toml").read_text())
    assert recipe["machine"] == "Linux x86_64, CPU:0"
    assert recipe["versions"] == {"keras": "3"}


def test_the_command_of_the_recipe_gives_the_settings_of_the_run(publish, home, monkeypatch):
    publish()
    recipe = tomllib.loads((home / "base-x4.toml").read_text())
    given = {}

    def train(config, data, out, **rest):
        given.update(config=config)
        raise KeyboardInterrupt

    import xraysr.cli

    monkeypatch.setattr("xraysr.training.train", train)
    monkeypatch.setattr(sys, "argv", recipe["train"].split())
    with pytest.raises(SystemExit):
        xraysr.cli.main()
    assert given["config"] == TrainConfig(
        "16:64", mix=("32:128",), steps=7, depth=1, width=8, crop=8, flips=False
    )


def test_what_was_measured_of_the_same_weights_stays(publish, home):
    publish()
    path = home / "cards" / "base-x4.json"
    gains = {"base-x4": {"mean": 1.2, "low": 1.0, "high": 1.4}}
    rows = {"box": {"lanczos_psnr": 33.0, "psnr_over_lanczos": gains}}
    scored = {"n": 3, "patients": 2, "hr": "128x128", "rows": rows}
    measured = {
        "downstream": {"auc": 0.9},
        "perceptual": {"niqe": 4.2},
        "matrix": {"nih_chest_xray": {"32:128": scored}},
        "native": {"films": "of a clinic", **scored},
    }
    write_json(path, {**json.loads(path.read_text()), **measured})
    publish()
    card = ModelCard.load("base-x4")
    assert {name: getattr(card, name) for name in measured} == measured
    content = json.loads(path.read_text())
    content["spec"]["weights_sha256"] = "of others"
    write_json(path, content)
    publish()
    card = ModelCard.load("base-x4")
    assert not any(getattr(card, name) for name in measured)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": [*TRAIN, "train/00000004_001.png"]}, "films of the run are in none of"),
        ({"train": [*TRAIN, TEST[0]]}, "saw test patients of nih_chest_xray: 00000004"),
        ({"val": [TEST[1]]}, "saw test patients of nih_chest_xray: 00000005"),
    ],
)
def test_a_run_whose_films_are_unknown_or_tested_is_not_published(
    publish, run_folder, home, split, message
):
    path = run_folder / "data.json"
    write_json(path, json.loads(path.read_text()) | split)
    with pytest.raises(UserError, match=message):
        publish()
    assert not home.exists()


@pytest.mark.parametrize("name", ["base-x2", "best-x4", "base", "base-x44"])
def test_a_name_that_does_not_fit_is_refused(publish, home, name):
    with pytest.raises(UserError, match="NAME must be one of .* with -x4"):
        publish(name=name)
    assert not home.exists()


def test_a_run_that_began_from_another_needs_the_presets_name(publish, put, run_folder, home):
    path = run_folder / "config.json"
    write_json(path, json.loads(path.read_text()) | {"init": "/somewhere/run"})
    with pytest.raises(UserError, match="began from /somewhere/run. Pass --init"):
        publish()
    put("base-x2")
    publish("--init", "base-x2")
    assert "--init base-x2" in (home / "base-x4.toml").read_text()
