"""The recipe of the feature extractor: its degradations, and which films it may open."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from xraysr.films.finder import Film
from xraysr.films.index import index_films
from xraysr.lanczos import resize
from xraysr.models.radiograph_features import SHIPPED, RadiographFeatures, card_of

RECIPE = Path(__file__).parents[2] / "recipes" / "features.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("features_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE.parent))
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def crop() -> np.ndarray:
    return 0.3 + 0.4 * np.random.default_rng(0).random((96, 96))


@pytest.mark.parametrize("kind", ["reduced", "blurred", "noisy", "sharpened", "quantised"])
def test_more_strength_changes_more(recipe, crop, kind):
    changes = [
        np.mean((recipe.degrade(crop, kind, s, np.random.default_rng(0)) - crop) ** 2)
        for s in (0.0, 0.5, 0.99)
    ]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_degradations_are_what_they_are_called(recipe, crop):
    rng = np.random.default_rng(0)
    assert recipe.degrade(crop, "none", 0.5, rng) is crop
    reduced = recipe.degrade(crop, "reduced", 0.5, rng)
    np.testing.assert_allclose(reduced, resize(resize(crop, (24, 24)), (96, 96)), atol=1e-12)
    assert np.std(recipe.degrade(crop, "noisy", 0.0, rng) - crop) == pytest.approx(0.005, rel=0.05)
    assert np.std(recipe.degrade(crop, "noisy", 1.0, rng) - crop) == pytest.approx(0.1, rel=0.05)
    cosines = recipe.block_cosines()
    np.testing.assert_allclose(cosines @ cosines.T, np.eye(96), atol=1e-12)
    spectrum = cosines @ recipe.degrade(crop, "quantised", 1.0, rng) @ cosines.T
    steps = spectrum[8:16, 8:16] / (0.2 * (1 + np.add.outer(range(8), range(8))))
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)


def test_the_same_seed_draws_the_same_batches(recipe):
    images = {
        size: [(np.random.default_rng(size).random((size, size)), 1)] for size in (128, 256, 512)
    }
    one, same, other = (next(recipe.batches(images, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one[0], same[0])
    assert not np.array_equal(one[0], other[0])
    assert one[0].shape == (32, 96, 96, 1) and one[0].dtype == np.float32
    assert one[0].min() >= 0 and one[0].max() <= 1


@pytest.mark.slow
def test_a_step_trains_every_weight_of_the_extractor(recipe):
    images = {
        size: [(np.random.default_rng(size).random((size, size)), 1)] for size in (128, 256, 512)
    }
    extractor = RadiographFeatures()
    model = recipe.with_heads(extractor)
    before = extractor.get_weights()
    model.train_on_batch(*next(recipe.batches(images, 0)))
    assert len(before) == 16
    for one, other in zip(before, extractor.get_weights(), strict=True):
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("path,split", [("test/a.png", "train"), ("a/b.png", "test")])
def test_test_films_are_never_opened(recipe, path, split):
    with pytest.raises(AssertionError, match="no training film"):
        recipe.load_films([Film(Path(path), "a", "a", "NORMAL", split)])


def test_the_card_names_the_films_of_the_train_folders(recipe, shared_data):
    """Its hashes are those of train and val, so no test film was among them."""
    folders = ("kermany_224", "nih_chest_xray")
    films = [
        film
        for film in index_films(shared_data).films
        if film.split != "test" and film.path.relative_to(shared_data).parts[0] in folders
    ]
    card = json.loads(card_of(SHIPPED).read_text("utf-8"))
    assert card["data"] == recipe.describe(shared_data, films)
    assert not any("test" in film.path.parts for film in films)
