"""Weights come back bit for bit, and nothing else is taken for them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models import GENERATORS
from xraysr.models.storage import weights_sha256
from xraysr.presets.store import load_preset, round_weights, save_preset


def refusal(path=None) -> str:
    with pytest.raises(UserError) as caught:
        load_preset("base-x4")
    message = str(caught.value)
    assert message.endswith("Reinstall xraysr.")
    assert path is None or str(path) in message
    return message


def rewrite(home, change) -> None:
    """Writes the weights anew with the arrays changed by `change`."""
    path = home / "weights" / "base-x4.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **change(arrays))


def edit_card(home, **changes) -> None:
    path = home / "cards" / "base-x4.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_preset_is_the_rounded_generator_bit_for_bit(home, shipped):
    generator, card = shipped
    loaded, spec = load_preset("base-x4")
    assert spec == card.spec
    with np.load(home / "weights" / "base-x4.npz", allow_pickle=False) as archive:
        stored = [archive[name] for name in sorted(archive.files)]
    assert {array.dtype for array in stored} == {np.dtype("<f2")}
    for ours, theirs, half in zip(
        loaded.get_weights(), generator.get_weights(), stored, strict=True
    ):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, half.astype(np.float32))
        np.testing.assert_array_equal(ours.view(np.uint32), theirs.view(np.uint32))
    image = np.random.default_rng(1).random((1, 9, 13, 1), dtype=np.float32)
    np.testing.assert_array_equal(loaded(image), generator(image))


def test_rounding_changes_weights_by_half_a_unit_at_most(generator):
    before = [weight.copy() for weight in generator.get_weights()]
    round_weights(generator)
    changed = False
    for old, new in zip(before, generator.get_weights(), strict=True):
        changed |= bool((old != new).any())
        unit = np.spacing(np.abs(old).astype(np.float16)).astype(np.float32)
        assert (np.abs(new - old) <= unit / 2).all()
    assert changed
    once = weights_sha256(generator)
    round_weights(generator)
    assert weights_sha256(generator) == once


def test_the_same_weights_give_the_same_bytes(home, shipped, tmp_path):
    save_preset(*shipped, tmp_path / "again")
    for name in ("weights/base-x4.npz", "cards/base-x4.json"):
        assert (tmp_path / "again" / name).read_bytes() == (home / name).read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 70000.0])
def test_weights_float16_cannot_hold_do_not_ship(generator, make_card, tmp_path, value):
    weights = generator.get_weights()
    weights[-1][...] = value
    generator.set_weights(weights)
    card = make_card(sha256=weights_sha256(generator))
    with pytest.raises(UserError, match="not finite in float16"):
        save_preset(generator, card, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_card_of_the_unrounded_weights_does_not_ship(generator, make_card, tmp_path):
    card = make_card(sha256=weights_sha256(generator))
    with pytest.raises(UserError, match="card of base-x4 was made for other weights"):
        save_preset(generator, card, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.9, 0.999])
def test_truncated_weights(home, shipped, kept):
    path = home / "weights" / "base-x4.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert "damaged" in refusal(path)


def test_one_flipped_bit(home, shipped):
    path = home / "weights" / "base-x4.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("kind", ["missing", "text", "npy", "folder"])
def test_weights_that_are_none(home, shipped, kind):
    path = home / "weights" / "base-x4.npz"
    path.unlink()
    if kind == "text":
        path.write_text("these are no weights")
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3, np.float16))
    elif kind == "folder":
        path.mkdir()
    assert "damaged" in refusal(path)


def test_one_other_weight(home, shipped):
    def change(arrays):
        arrays["001"] = arrays["001"] + np.float16(1)
        return arrays

    rewrite(home, change)
    assert "does not hold the weights its card names" in refusal(home / "weights" / "base-x4.npz")


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {name: arrays[name] for name in sorted(arrays)[:-1]},
        lambda arrays: {**arrays, "999": np.zeros(1, np.float16)},
        lambda arrays: {**arrays, "000": arrays["000"][..., :4]},
        lambda arrays: {**arrays, "000": arrays["000"].ravel()},
    ],
    ids=["one less", "one more", "smaller", "flat"],
)
def test_weights_of_another_network(home, shipped, change):
    rewrite(home, change)
    assert "does not fit its card" in refusal(home / "weights" / "base-x4.npz")


@pytest.mark.parametrize("dtype", [np.float32, np.int8, object])
def test_only_float16_is_taken(home, shipped, dtype):
    rewrite(home, lambda arrays: {name: array.astype(dtype) for name, array in arrays.items()})
    refusal(home / "weights" / "base-x4.npz")


@pytest.mark.parametrize(
    "architecture",
    [
        {"generator": "transformer", "depth": 1, "width": 8},
        {"generator": "srresnet", "depth": 1, "width": 8, "heads": 4},
        {"generator": "srresnet", "depth": 0, "width": 8},
        {"depth": 1, "width": 8},
    ],
)
def test_a_network_of_another_version(home, shipped, architecture):
    edit_card(home, architecture=architecture)
    assert "describes no network of this version" in refusal()


def test_a_card_of_another_depth(home, shipped):
    edit_card(home, architecture={"generator": "srresnet", "depth": 2, "width": 8})
    assert "does not fit its card" in refusal(home / "weights" / "base-x4.npz")


def test_a_card_of_another_format(home, shipped):
    edit_card(home, format=99)
    assert "Received: format 99" in refusal(home / "cards" / "base-x4.json")


def test_every_kind_of_generator_can_ship(home, make_card):
    for kind, network in GENERATORS.items():
        made = network.for_pair("8:24", depth=1, width=8)
        round_weights(made)
        name = "edge-x3"
        architecture = {"generator": kind, "depth": 1, "width": 8}
        card = make_card(name, weights_sha256(made), architecture=architecture)
        save_preset(made, card, home)
        loaded, _ = load_preset(name)
        assert type(loaded) is network
        assert weights_sha256(loaded) == weights_sha256(made)


def test_the_file_is_an_ordinary_npz_of_no_date(home, shipped):
    with zipfile.ZipFile(home / "weights" / "base-x4.npz") as archive:
        entries = archive.infolist()
    assert len(entries) == len(shipped[0].weights)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
