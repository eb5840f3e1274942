"""The tf.data pipeline: LR is what Lanczos makes of HR, crops are aligned, order is by seed."""

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data.index import index_films, index_pair_folder
from xraysr.data.pipeline import PairCache, degrade, film_pairs, training_batches
from xraysr.data.prepare import prepare
from xraysr.data.scan import Film
from xraysr.errors import UserError
from xraysr.io import Radiograph, write
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


def test_frames_are_float_in_range_and_lr_is_made_of_hr(cache):
    batches = list(cache.frames(batch=3))
    assert [int(lr.shape[0]) for lr, _ in batches] == [3, 3, 1]
    row = 0
    for lr, hr in batches:
        for one_lr, one_hr in zip(lr.numpy(), hr.numpy(), strict=True):
            bits = int(cache.bits[row])
            expected = numpy_degrade(one_hr[..., 0], PAIR.lr, bits)
            assert np.abs(one_lr[..., 0] - expected).max() <= 1.01 / (2**bits - 1)
            row += 1


def locate(cache, lr, hr):
    """(row, top, left, mirrored) of a crop in the cache, found by its HR pixels."""
    for row in range(len(cache)):
        whole = cache.hr[row, ..., 0] / (2 ** int(cache.bits[row]) - 1)
        for mirrored in (False, True):
            wanted = hr[:, ::-1] if mirrored else hr
            for top in range(0, 64 - wanted.shape[0] + 1, 4):
                for left in range(0, 64 - wanted.shape[1] + 1, 4):
                    window = whole[top : top + wanted.shape[0], left : left + wanted.shape[1]]
                    if np.allclose(window, wanted, atol=1e-6):
                        return row, top // 4, left // 4, mirrored
    raise AssertionError("the crop is in none of the films")


def test_crops_are_aligned_on_the_lr_grid_and_flipped_together(cache):
    batches = training_batches(cache, batch=8, crop=6, flips=True, seed=5)
    lr, hr = (part.numpy()[..., 0] for part in next(iter(batches)))
    assert lr.shape == (8, 6, 6)
    assert hr.shape == (8, 24, 24)
    seen = []
    for one_lr, one_hr in zip(lr, hr, strict=True):
        row, top, left, mirrored = locate(cache, one_lr, one_hr)
        whole = cache.lr[row, ..., 0] / (2 ** int(cache.bits[row]) - 1)
        expected = whole[top : top + 6, left : left + 6]
        np.testing.assert_allclose(one_lr[:, ::-1] if mirrored else one_lr, expected, atol=1e-6)
        seen.append((row, top, left, mirrored))
    assert {row for row, *_ in seen[:7]} == set(range(7))  # one epoch has every film once
    assert len({mirrored for *_, mirrored in seen}) == 2
    assert len({top for _, top, *_ in seen}) > 2


def test_flips_can_be_left_off(cache):
    batches = training_batches(cache, batch=8, crop=6, flips=False, seed=5)
    for lr, hr in batches.take(3):
        for one_lr, one_hr in zip(lr.numpy()[..., 0], hr.numpy()[..., 0], strict=True):
            assert not locate(cache, one_lr, one_hr)[3]


def test_each_epoch_has_every_film_once_in_another_order(cache):
    batches = iter(training_batches(cache, batch=7, crop=None, flips=False, seed=2))
    orders = []
    for _ in range(3):
        _, hr = next(batches)
        orders.append([locate(cache, None, each)[0] for each in hr.numpy()[..., 0]])
        assert sorted(orders[-1]) == list(range(7))
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_the_seed_fixes_what_is_drawn_and_a_late_start_joins_in(cache):
    def draw(seed, first_step=0):
        batches = training_batches(
            cache, batch=3, crop=8, flips=True, seed=seed, first_step=first_step
        )
        return [hr.numpy() for _, hr in batches.take(6 - first_step)]

    whole, late = draw(0), draw(0, first_step=4)
    np.testing.assert_array_equal(whole[4:], late)
    assert not np.array_equal(whole, draw(1))


@pytest.fixture(params=["memory", "disk"])
def numbered(request, tmp_path) -> PairCache:
    """Seven films, each of one grey, so that a crop tells which film it is of."""
    paths = [tmp_path / "films" / f"p{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        write(path, Radiograph(np.full((64, 64), number / 255, np.float32)))
    folder = tmp_path / "cache" if request.param == "disk" else None
    return PairCache.load([film(path) for path in paths], PAIR, folder=folder)


def numbers(batches, steps) -> list[list[int]]:
    """The films of each batch, in order."""
    return [
        np.round(hr.numpy()[:, 0, 0, 0] * 255).astype(int).tolist() for _, hr in batches.take(steps)
    ]


def test_every_epoch_is_a_permutation_also_across_batches_and_a_resumption(numbered):
    settings = {"batch": 4, "crop": 8, "flips": True, "seed": 1}
    begun = numbers(training_batches(numbered, **settings), 9)
    resumed = numbers(training_batches(numbered, **settings, first_step=9), 12)
    drawn = sum(begun + resumed, [])
    epochs = [drawn[start : start + 7] for start in range(0, 84, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 6
    assert begun + resumed == numbers(training_batches(numbered, **settings), 21)


def test_workers_and_replicas_draw_together_what_one_process_draws(cache):
    settings = {"batch": 8, "crop": 6, "flips": True, "seed": 4, "first_step": 3}
    whole = training_batches(cache, **settings)
    parts = [
        iter(training_batches(cache, **settings, pipeline=(worker, 2), replicas=2))
        for worker in (0, 1)
    ]
    for lr, hr in whole.take(6):
        shares = [next(part) for part in parts for _ in range(2)]
        assert [len(share[0]) for share in shares] == [2, 2, 2, 2]
        np.testing.assert_array_equal(np.concatenate([share[0] for share in shares]), lr)
        np.testing.assert_array_equal(np.concatenate([share[1] for share in shares]), hr)


@pytest.mark.parametrize(("batch", "pipeline", "replicas"), [(6, (0, 2), 2), (3, (0, 1), 2)])
def test_a_batch_that_cannot_be_dealt_out_is_refused(cache, batch, pipeline, replicas):
    with pytest.raises(UserError, match=f"multiple of the number of devices.*batch={batch}"):
        training_batches(
            cache, batch=batch, crop=6, flips=False, seed=0, pipeline=pipeline, replicas=replicas
        )


def test_a_crop_larger_than_lr_is_refused(cache):
    with pytest.raises(UserError, match="crop=17"):
        training_batches(cache, batch=1, crop=17, flips=True, seed=0)


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
