from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xraysr.errors import UserError
from xraysr.presets import ModelCard, names
from xraysr.presets.card import choices


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        ModelCard.load(name)
    return str(caught.value)


def test_it_is_read_as_it_was_written(home, put):
    card = put("base-x4", perceptual={"niqe": 3.2}, downstream={"auc": {"hr": 0.9}})
    assert ModelCard.load("base-x4") == card
    assert card.scale == 4


def test_names_are_those_on_the_shelf(home, put):
    assert names() == []
    for name in ("edge-x3", "base-x2"):
        put(name)
    assert names() == ["base-x2", "edge-x3"]


def test_cards_are_read_without_keras():
    code = (
        "import sys; from xraysr.presets import ModelCard, names; import xraysr.presets.page;"
        "cards = [ModelCard.load(name).markdown() for name in names()];"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("base-x3", "base comes for x2, x4; for x3 there is edge-x3."),
        ("edge-x5", "edge comes for x3, x4; for x5 there is no preset."),
        ("base", "base comes for x2, x4."),
        ("best-x4", "Presets: base-x2, base-x4, edge-x3, edge-x4."),
        ("bas", "Presets: base-x2, base-x4, edge-x3, edge-x4."),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(put, asked, told):
    for name in ("base-x2", "base-x4", "edge-x3", "edge-x4"):
        put(name)
    assert choices(asked) == told
    assert refusal(asked) == f"No preset is named {asked}. {told}"


def test_an_installation_without_presets(home):
    assert "Presets: none in this installation" in refusal("base-x4")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": 2}', '{"format": null}'])
def test_a_card_that_is_none_says_which_file_and_what_to_do(home, put, text):
    put("base-x4")
    path = home / "cards" / "base-x4.json"
    path.write_text(text)
    message = refusal("base-x4")
    assert str(path) in message
    assert message.endswith("Reinstall xraysr.")


def test_a_card_of_another_version_is_not_guessed_at(home, put):
    put("base-x4", format=2)
    assert "Expected: format 1. Received: format 2" in refusal("base-x4")


@pytest.mark.parametrize("entry", ["spec", "scores", "gains", "data", "not_for"])
def test_a_card_that_lacks_an_entry(home, put, entry):
    content = put("base-x4").to_json()
    del content[entry]
    (home / "cards" / "base-x4.json").write_text(json.dumps(content))
    assert "lacks an entry: " in refusal("base-x4")
    assert entry in refusal("base-x4")


def test_gain_is_that_of_the_preset(make_card):
    card = make_card()
    assert card.gain("nih_chest_xray", "32:128")["mean"] == 1.5
    assert card.gain("nih_chest_xray", "64:256") is None
    assert card.gain("kermany_224", "32:128") is None


def test_the_worst_films_are_those_of_least_gain(make_card):
    assert make_card().worst("nih_chest_xray", "32:128") == [
        ("film6", -4.5), ("film5", -3.5), ("film4", -2.5), ("film3", -1.5), ("film2", -0.5),
    ]  # fmt: skip
