"""README and the page of presets show what the cards hold."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from xraysr.errors import UserError
from xraysr.presets import ModelCard, names

RECIPE = Path(__file__).parents[2] / "recipes" / "table.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("table_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_cards(recipe):
    for path, texts in recipe.blocks().items():
        page = path.read_text("utf-8")
        for name, text in texts.items():
            begin, end = recipe.BEGIN.format(name), recipe.END.format(name)
            assert f"{begin}\n{text}\n{end}" in page, f"run recipes/table.py: {name} in {path.name}"
    assert all(f"| `{name}` |" in recipe.table(intervals=True) for name in names())
    assert all((RECIPE.parent / f"{name}.toml").is_file() for name in names())


def test_every_preset_that_was_scored_stands_in_the_matrix(recipe):
    for name in names():
        card = ModelCard.load(name)
        assert (f"`{name}`" in recipe.matrix()) == bool(card.matrix)
        assert (f"`{name}`" in recipe.native()) == bool(card.native)


def test_rows_are_those_of_the_cards(recipe):
    (card,) = (card for card in recipe.by_scale("matrix")[4] if card.name == "edge-x4")
    rows = card.matrix["nih_chest_xray"]["128:512"]["rows"]
    _, text = recipe.matrix().split("128:512, NIH test films, ")
    head, _, first, *_ = (line.split(" | ") for line in text.split("\n\n")[1].splitlines())
    column = [cell.strip("| ") for cell in head].index("`edge-x4`")
    gain = rows["Lanczos (as trained)"]["psnr_over_lanczos"]["edge-x4"]["mean"]
    assert first[0] == "| Lanczos (as trained)"
    assert first[column].strip("| ") == f"{gain:+.2f}"
    assert first[1] == f"{rows['Lanczos (as trained)']['lanczos_psnr']:.2f}"


def test_presets_scored_on_other_films_do_not_share_a_table(recipe, monkeypatch):
    card = ModelCard.load("edge-x4")
    other = replace(card, name="other-x4", native=card.native | {"n": 3})
    cards = {"edge-x4": card, "other-x4": other}
    monkeypatch.setattr(recipe, "names", lambda: list(cards))
    monkeypatch.setattr(recipe.ModelCard, "load", cards.get)
    with pytest.raises(UserError, match="edge-x4, other-x4 were scored on other films"):
        recipe.native()
