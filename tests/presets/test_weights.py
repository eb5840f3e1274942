"""Weights come back bit for bit, and nothing else is taken for them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

import xraysr
from xraysr.errors import UserError
from xraysr.export import export_model
from xraysr.models import GENERATORS, open_model
from xraysr.models.open import load_preset, save_preset
from xraysr.models.weights import round_weights, weight_names, weights_sha256


def refusal(path=None) -> str:
    with pytest.raises(UserError) as caught:
        load_preset("base-x4")
    message = str(caught.value)
    assert message.endswith("Reinstall xraysr.")
    assert path is None or str(path) in message
    return message


def rewrite(home, change) -> None:
    """Writes the weights anew with the arrays changed by `change`."""
    path = home / "weights" / "base-x4.safetensors"
    path.write_bytes(safetensors.numpy.save(change(safetensors.numpy.load(path.read_bytes()))))


def edit_card(home, **changes) -> None:
    path = home / "cards" / "base-x4.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_preset_is_the_rounded_generator_bit_for_bit(home, shipped):
    generator, card = shipped
    loaded, spec = load_preset("base-x4")
    assert spec == card.spec
    stored = safetensors.numpy.load((home / "weights" / "base-x4.safetensors").read_bytes())
    assert {array.dtype for array in stored.values()} == {np.dtype("<f2")}
    assert list(stored) != weight_names(loaded)  # found by name, not by order
    for ours, theirs, name in zip(
        loaded.get_weights(), generator.get_weights(), weight_names(loaded), strict=True
    ):
        half = stored[name]
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
    for name in ("weights/base-x4.safetensors", "cards/base-x4.json"):
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
    path = home / "weights" / "base-x4.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert "damaged" in refusal(path)


def test_one_flipped_bit(home, shipped):
    path = home / "weights" / "base-x4.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "does not hold the weights its card names" in refusal(path)


@pytest.mark.parametrize("kind", ["missing", "text", "npy", "folder"])
def test_weights_that_are_none(home, shipped, kind):
    path = home / "weights" / "base-x4.safetensors"
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
        arrays["head/bias"] = arrays["head/bias"] + np.float16(1)
        return arrays

    rewrite(home, change)
    assert "does not hold the weights its card names" in refusal(
        home / "weights" / "base-x4.safetensors"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {name: arrays[name] for name in sorted(arrays)[:-1]},
        lambda arrays: {**arrays, "neck/bias": np.zeros(1, np.float16)},
        lambda arrays: {**arrays, "head/bias": arrays["head/bias"][:4].copy()},
        lambda arrays: {**arrays, "head/kernel": arrays["head/kernel"].ravel()},
    ],
    ids=["one less", "one more", "smaller", "flat"],
)
def test_weights_of_another_network(home, shipped, change):
    rewrite(home, change)
    assert "weights of another network" in refusal(home / "weights" / "base-x4.safetensors")


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_only_float16_is_taken(home, shipped, dtype):
    rewrite(home, lambda arrays: {name: array.astype(dtype) for name, array in arrays.items()})
    refusal(home / "weights" / "base-x4.safetensors")


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
    assert "weights of another network" in refusal(home / "weights" / "base-x4.safetensors")


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


def film(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


def test_a_name_gives_the_preset_and_a_path_of_that_name_goes_first(
    shipped, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert open_model("base-x4")[1] == shipped[1].spec
    shutil.copytree(trained["keras"].parent, tmp_path / "base-x4")
    assert open_model("base-x4")[1].name == "generator"


def test_the_librarys_load_enlarges_with_a_preset_and_checks_what_it_is_given(shipped):
    generator, card = shipped
    upscaler = xraysr.load("base-x4")
    assert upscaler.spec == card.spec
    image = film(9, 13)
    expected = np.asarray(generator(image[None, ..., None]))[0, ..., 0]
    np.testing.assert_allclose(upscaler(image), expected, atol=1e-5)
    for wrong, message in (
        (255 * image, r"must be in \[0, 1\]. Received: .* to 2[0-9]{2}"),
        (image - 0.5, r"must be in \[0, 1\]. Received: -0.4"),
        ((255 * image).astype(np.uint8), "divide integers by the largest value.*Received: uint8"),
        (image * np.nan, "must be finite"),
        (np.stack([image] * 3, axis=-1), r"Received: \(9, 13, 3\)"),
    ):
        with pytest.raises(UserError, match=message):
            upscaler(wrong)


def test_a_preset_is_exported_with_its_card(shipped, tmp_path):
    export_model("base-x4", tmp_path / "base.tflite", "tflite")
    upscaler = xraysr.load(tmp_path / "base.tflite")
    assert upscaler.spec.weights_sha256 == shipped[1].spec.weights_sha256
    image = film(9, 13)
    np.testing.assert_allclose(upscaler(image), xraysr.load("base-x4")(image), atol=1e-5)


def test_what_is_neither_path_nor_preset(shipped, tmp_path):
    with pytest.raises(UserError, match="No model file at base-x3, and no preset. base comes for"):
        open_model("base-x3")
    with pytest.raises(UserError, match=r"No model file at .*lost.keras.*Presets: base-x4"):
        open_model(tmp_path / "lost.keras")
