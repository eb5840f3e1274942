"""The tf.data pipeline: LR is what Lanczos makes of HR, crops are aligned, order is by seed."""

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data.pipeline import PairCache, degradation_text, degrade, film_pairs
from xraysr.data.prepare import prepare
from xraysr.degradation import AS_FOUND, DEFAULT
from xraysr.errors import UserError
from xraysr.films.finder import Film
from xraysr.films.index import index_films, index_pair_folder
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade as numpy_degrade
from xraysr.pair import Pair

PAIR = Pair.parse("16:64")


def film(path, split="train") -> Film:
    return Film(path, path.stem, path.stem, None, split)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Seven noisy films of different sizes, 8 and 16 bit."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    for number in range(7):
        size = (64 + 9 * number, 80)
        pixels = random.random(size, dtype=np.float32)
        bits = 16 if number == 3 else 8
        write(folder / f"p{number}.png", Radiograph(pixels, bits))
    return [film(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def cache(films) -> PairCache:
    return PairCache.load(films, PAIR)


def test_degrade_is_antialiased_lanczos_rounded_to_the_depth():
    hr = np.random.default_rng(1).random((3, 48, 96, 1), dtype=np.float32)
    for bits in (8, 12, 16):
        lr = degrade(tf.constant(hr), (12, 24), bits).numpy()
        expected = np.stack([numpy_degrade(image[..., 0], (12, 24), bits) for image in hr])
        levels = 2**bits - 1
        assert np.abs(lr[..., 0] - expected).max() <= 1.01 / levels  # a tie may fall either way
        assert np.mean(lr[..., 0] * levels != np.round(expected * levels)) < 0.05
        np.testing.assert_allclose(lr * levels, np.round(lr * levels), atol=0.01)
        assert lr.min() >= 0.0
        assert lr.max() <= 1.0


def test_lr_is_not_aliased():
    """Stripes too fine for LR turn grey; plain subsampling would keep them."""
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))[None, ..., None]
    assert np.ptp(degrade(tf.constant(stripes), (16, 16), 8)[0, 4:-4, 4:-4]) < 0.02


def test_every_film_is_there_in_order_at_its_own_depth(cache, films):
    assert [each.name for each in cache.films] == [each.name for each in films]
    assert cache.bits.tolist() == [8, 8, 8, 16, 8, 8, 8]
    assert cache.hr.shape == (7, 64, 64, 1)
    assert cache.lr.shape == (7, 16, 16, 1)
    assert cache.hr.dtype == np.uint16


def test_unusable_films_are_skipped_by_name_and_the_others_stay(films, tmp_path):
    broken, small = tmp_path / "broken.png", tmp_path / "small.png"
    broken.write_text("text")
    write(small, Radiograph(np.zeros((63, 64), np.float32)))
    gone = film(tmp_path / "gone.png")
    cache = PairCache.load([films[0], film(broken), film(small), gone, films[1]], PAIR)
    assert [each.name for each in cache.films] == ["p0", "p1"]
    reasons = {each.path.name: each.reason for each in cache.skipped}
    assert "not an image" in reasons["broken.png"]
    assert "63" in reasons["small.png"]
    assert "no such file" in reasons["gone.png"]


def test_a_folder_of_unusable_films_is_an_error_that_says_why(tmp_path):
    small = tmp_path / "small.png"
    write(small, Radiograph(np.zeros((8, 8), np.float32)))
    with pytest.raises(UserError, match="None of 1 films can be used for 16:64.*smaller"):
        PairCache.load([film(small)], PAIR)


def test_prepared_folders_read_back_as_what_is_made_on_the_fly(films, tmp_path):
    source = films[0].path.parent
    prepare(source, tmp_path / "pairs", ["16:64"], progress=False)
    prepared = index_pair_folder(tmp_path / "pairs", PAIR).films
    original = {each.path.stem: each for each in index_films(source).films}
    assert len(prepared) == 7
    for pair in film_pairs(prepared, PAIR, "crop", []):
        (fresh,) = film_pairs([original[pair.film.path.stem]], PAIR, "crop", [])
        np.testing.assert_array_equal(pair.hr, fresh.hr)
        assert np.abs(pair.lr.astype(int) - fresh.lr.astype(int)).max() <= 1
        assert pair.bits == fresh.bits


def test_an_lr_twin_of_the_wrong_size_is_skipped_by_name(films, tmp_path):
    from dataclasses import replace

    twin = tmp_path / "twin.png"
    write(twin, Radiograph(np.zeros((15, 16), np.float32)))
    skipped = []
    assert not list(film_pairs([replace(films[0], lr_path=twin)], PAIR, "crop", skipped))
    assert "not the LR twin" in skipped[0].reason


def test_real_films_go_through(shared_data):
    folder = shared_data / "nih_chest_xray" / "test"
    some = index_films(folder).films[::30]
    cache = PairCache.load(some, Pair.parse("64:256"))
    assert len(cache) == len(some)
    assert cache.hr.dtype == np.uint8
    dicom = film(shared_data / "dicom" / "rsna_cr_monochrome2.dcm")
    assert PairCache.load([dicom], Pair.parse("128:512")).hr.shape == (1, 512, 512, 1)


def halved(hr, lr_size):
    assert hr.dtype == np.float32 and hr.max() <= 1
    return hr[:: hr.shape[0] // lr_size[0], :: hr.shape[1] // lr_size[1]] / 2


def test_lr_by_the_users_own_function(films, tmp_path):
    for folder in (None, tmp_path / "cache"):
        cache = PairCache.load(films, PAIR, folder=folder, degradation=halved)
        assert cache.degradation == "halved" and len(cache) == len(films)
        for lr, hr in ((cache.lr[n], cache.hr[n]) for n in range(len(cache))):
            np.testing.assert_allclose(lr, hr[::4, ::4] / 2, atol=0.51)
    assert PairCache.load(films, PAIR, folder=tmp_path / "cache").degradation == DEFAULT
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_what_the_users_function_raises_is_raised(films):
    def broken(hr, lr_size):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        PairCache.load(films, PAIR, degradation=broken)
    with pytest.raises(UserError, match="degradation must give finite pixels of shape"):
        PairCache.load(films, PAIR, degradation=lambda hr, lr_size: hr)


def test_lr_twins_are_said_to_be_what_they_are(films, tmp_path):
    prepare(films[0].path.parent, tmp_path, [PAIR], workers=1, progress=False, resplit=True)
    prepared = index_pair_folder(tmp_path, PAIR).films
    assert PairCache.load(prepared, PAIR).degradation == DEFAULT
    assert degradation_text(prepared) == DEFAULT
    own = prepared[2].lr_path
    write(own, Radiograph(1 - read(own).pixels, read(own).bits), overwrite=True)
    for folder in (None, tmp_path / "cache", tmp_path / "cache"):
        cache = PairCache.load(prepared, PAIR, folder=folder, degradation=halved)
        assert cache.degradation == f"{AS_FOUND} and {DEFAULT}"
        np.testing.assert_array_equal(cache.lr[2][..., 0], read(own).stored())
    (tmp_path / "manifest.json").unlink()
    foreign = index_pair_folder(tmp_path, PAIR).films
    assert degradation_text(foreign) == PairCache.load(foreign, PAIR).degradation == AS_FOUND
