"""The card beside a model: its way to disk and back, and every way it can be wrong."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from xraysr.errors import UserError
from xraysr.spec import FORMAT, ModelSpec

SPEC = ModelSpec(
    name="chest",
    scale=4,
    receptive_radius=20,
    weights_sha256="ab" * 32,
    training={"pair": "64:256", "steps": 1000, "films": ["a", "b"]},
    scores={"psnr": 35.5},
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file with its card; the model itself is never opened."""
    SPEC.save(tmp_path / "chest.keras")
    return tmp_path / "chest.keras"


def rewrite(model: Path, **changes) -> None:
    card = ModelSpec.path_for(model)
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


def test_round_trip(model):
    assert ModelSpec.load(model) == SPEC


def test_the_card_is_plain_json(model):
    content = json.loads(model.with_name("chest.spec.json").read_text())
    assert content == {**asdict(SPEC), "value_range": [0.0, 1.0]}
    assert content["format"] == FORMAT


def test_a_file_has_its_card_beside_it_and_a_folder_inside(tmp_path):
    assert ModelSpec.path_for(tmp_path / "x4.keras") == tmp_path / "x4.spec.json"
    assert ModelSpec.path_for(tmp_path / "x4.tflite") == tmp_path / "x4.tflite.spec.json"
    assert ModelSpec.path_for(tmp_path / "v1.2.keras") == tmp_path / "v1.2.spec.json"
    assert ModelSpec.path_for(tmp_path) == tmp_path / "spec.json"


def test_entries_of_a_later_minor_version_are_passed_over(model):
    rewrite(model, colour="blue")
    assert ModelSpec.load(model) == SPEC


@pytest.mark.parametrize("scale", [1, 9, 4.0, "4", None])
def test_scale(model, scale):
    with pytest.raises(UserError, match=rf"from 2 to 8.*scale={re.escape(repr(scale))}"):
        ModelSpec("x", scale, 1, "")
    rewrite(model, scale=scale)
    with pytest.raises(UserError, match=r"from 2 to 8"):
        ModelSpec.load(model)


def test_a_missing_card_is_asked_for_by_name(tmp_path):
    with pytest.raises(UserError, match=r"no card: expected lost\.spec\.json beside it"):
        ModelSpec.load(tmp_path / "lost.keras")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"not json"])
def test_a_damaged_card(model, content):
    ModelSpec.path_for(model).write_bytes(content)
    with pytest.raises(UserError, match=r"Cannot read the model's card .*chest\.spec\.json"):
        ModelSpec.load(model)


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "x.spec.json").mkdir()
    with pytest.raises(UserError, match="Cannot read the model's card"):
        ModelSpec.load(tmp_path / "x.keras")


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"format": 2, "name": "x"}'])
def test_a_card_of_another_format(model, content):
    ModelSpec.path_for(model).write_text(content)
    with pytest.raises(UserError, match=rf"not a card of format {FORMAT}"):
        ModelSpec.load(model)


@pytest.mark.parametrize("entry", ["name", "scale", "receptive_radius", "weights_sha256"])
def test_a_lacking_entry_is_named(model, entry):
    card = ModelSpec.path_for(model)
    content = json.loads(card.read_text())
    del content[entry]
    card.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"lacks an entry.*{entry}"):
        ModelSpec.load(model)


def test_the_text_of_a_card_is_the_card():
    assert ModelSpec.from_json(SPEC.to_json(), "here") == SPEC


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 99}', "nonsense"])
def test_a_text_that_is_no_card_names_where_it_came_from(text):
    with pytest.raises(UserError, match="the server"):
        ModelSpec.from_json(text, "the server")
