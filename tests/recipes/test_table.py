"""README and the page of presets show what the cards hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from xraysr.presets import names

RECIPE = Path(__file__).parents[2] / "recipes" / "table.py"


def test_the_tables_are_those_of_the_cards():
    spec = importlib.util.spec_from_file_location("table_recipe", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.table(intervals=False) in recipe.README.read_text("utf-8")
    assert recipe.table(intervals=True) in recipe.PAGE.read_text("utf-8")
    assert all(f"| `{name}` |" in recipe.table(intervals=True) for name in names())
    assert all((RECIPE.parent / f"{name}.toml").is_file() for name in names())
