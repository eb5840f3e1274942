"""README shows what the cards hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from xraysr.presets import names

RECIPE = Path(__file__).parents[2] / "recipes" / "table.py"


def test_the_table_in_readme_is_that_of_the_cards():
    spec = importlib.util.spec_from_file_location("table_recipe", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.table() in recipe.README.read_text("utf-8")
    assert all(f"| `{name}` |" in recipe.table() for name in names())
    assert all((RECIPE.parent / f"{name}.toml").is_file() for name in names())
