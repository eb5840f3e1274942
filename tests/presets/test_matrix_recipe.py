"""recipes/matrix.py puts scores by how LR was made into the cards of presets."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xraysr
from xraysr.errors import UserError
from xraysr.evaluation.matrix import WAYS, matrix, native
from xraysr.films.index import index_films
from xraysr.io import Radiograph, write
from xraysr.presets import ModelCard
from xraysr.presets.card import card_path

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "matrix.py"


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Three test films of a known data set and two at their own sampling, none of one patient."""
    random = np.random.default_rng(0)
    nih, own = tmp_path / "nih_chest_xray", tmp_path / "own"
    for number in range(3):
        film = Radiograph(random.random((64, 64), dtype=np.float32))
        write(nih / "test" / f"0000000{number}_000.png", film)
    for number in range(2):
        write(own / f"film{number}.png", Radiograph(random.random((80, 64), dtype=np.float32)))
    return nih, own


@pytest.fixture
def recipe(monkeypatch, shipped):
    """Runs the script as a command; the HR sizes of the data set are small ones."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["pairs_of"].__globals__, "HR_SIZES", {"nih_chest_xray": (128, 256)})
    small = {"128:512": "16:64", "64:256": "16:64"}
    scored = script["matrix"]
    names = script["main"].__globals__
    monkeypatch.setitem(names, "matrix", lambda models, films, pair: scored(
        models, films, small[str(pair)]))  # fmt: skip

    def recipe(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["matrix.py", *map(str, words)])
        script["main"]()

    recipe.names = names
    return recipe


def test_the_card_has_what_the_library_finds(recipe, folders, capsys):
    nih, own = folders
    recipe(nih, own, "--films", 2)
    card = ModelCard.load("base-x4")
    entry = card.matrix["nih_chest_xray"]["64:256"]
    assert list(card.matrix["nih_chest_xray"]) == ["64:256"], "HR of 128 is not asked for"
    assert (entry["n"], entry["patients"], list(entry["rows"])) == (2, 2, list(WAYS))
    films = index_films(nih).require("test")
    found = matrix({"base-x4": xraysr.load("base-x4")}, films[:2], "16:64")
    gains = entry["rows"]["Lanczos + JPEG 75"]["psnr_over_lanczos"]
    assert gains["base-x4"]["mean"] == round(found.gain("Lanczos + JPEG 75", "base-x4").mean, 4)
    assert "Lanczos + JPEG 75" in capsys.readouterr().out
    assert (card.native["films"], card.native["n"], card.native["hr"]) == ("own", 2, "80x64")
    found = native({"base-x4": xraysr.load("base-x4")}, index_films(own).films, 4)
    for row, scores in card.native["rows"].items():
        assert scores["lanczos_psnr"] == round(found.lanczos_psnr(row), 4)
    assert "At a detector's own sampling" in card.markdown()


def test_what_the_card_said_before_stays(recipe, folders):
    path = card_path("base-x4")
    earlier = {"matrix": {"other": {"8:32": {"n": 1}}}, "native": {"n": 7}}
    path.write_text(json.dumps(json.loads(path.read_text()) | earlier))
    recipe(folders[0], "--presets", "base-x4")
    card = ModelCard.load("base-x4")
    assert card.matrix["other"] == {"8:32": {"n": 1}} and card.native == {"n": 7}
    assert card.matrix["nih_chest_xray"]["64:256"]["n"] == 3


def test_scores_of_other_weights_are_not_written(recipe, folders, monkeypatch):
    scored = recipe.names["matrix"]

    def published_anew(*given):
        card = ModelCard.load("base-x4")
        replace(card, spec=replace(card.spec, weights_sha256="f" * 64)).save(card_path("base-x4"))
        return scored(*given)

    monkeypatch.setitem(recipe.names, "matrix", published_anew)
    with pytest.raises(UserError, match="base-x4 was published anew"):
        recipe(folders[0])
    assert ModelCard.load("base-x4").matrix == {}
