"""Batches: crops are aligned, the order is a function of the seed, pairs are mixed evenly."""

from dataclasses import replace

import numpy as np
import pytest

from xraysr.data.batches import training_batches, whole_films
from xraysr.data.pipeline import PairCache
from xraysr.degradation import Degradation
from xraysr.errors import UserError
from xraysr.films.finder import Film
from xraysr.io import Radiograph, write
from xraysr.lanczos import degrade as numpy_degrade
from xraysr.pair import Pair

PAIR = Pair.parse("16:64")


def film(path) -> Film:
    return Film(path, path.stem, path.stem, None, "train")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Seven noisy films of different sizes, 8 and 16 bit."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    for number in range(7):
        pixels = random.random((64 + 9 * number, 80), dtype=np.float32)
        write(folder / f"p{number}.png", Radiograph(pixels, 16 if number == 3 else 8))
    return [film(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def cache(films) -> PairCache:
    return PairCache.load(films, PAIR)


def test_whole_films_are_float_in_range_and_lr_is_made_of_hr(cache):
    batches = list(whole_films(cache, 3))
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
            for top in range(0, whole.shape[0] - wanted.shape[0] + 1, 4):
                for left in range(0, whole.shape[1] - wanted.shape[1] + 1, 4):
                    window = whole[top : top + wanted.shape[0], left : left + wanted.shape[1]]
                    if np.allclose(window, wanted, atol=1e-6):
                        return row, top // 4, left // 4, mirrored
    raise AssertionError("the crop is in none of the films")


def test_crops_are_aligned_on_the_lr_grid_and_flipped_together(cache):
    batches = training_batches([cache], batch=8, crop=6, flips=True, seed=5)
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
    batches = training_batches([cache], batch=8, crop=6, flips=False, seed=5)
    for lr, hr in batches.take(3):
        for one_lr, one_hr in zip(lr.numpy()[..., 0], hr.numpy()[..., 0], strict=True):
            assert not locate(cache, one_lr, one_hr)[3]


def test_each_epoch_has_every_film_once_in_another_order(cache):
    batches = iter(training_batches([cache], batch=7, crop=None, flips=False, seed=2))
    orders = []
    for _ in range(3):
        _, hr = next(batches)
        orders.append([locate(cache, None, each)[0] for each in hr.numpy()[..., 0]])
        assert sorted(orders[-1]) == list(range(7))
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_the_seed_fixes_what_is_drawn_and_a_late_start_joins_in(cache):
    def draw(seed, first_step=0):
        batches = training_batches(
            [cache], batch=3, crop=8, flips=True, seed=seed, first_step=first_step
        )
        return [hr.numpy() for _, hr in batches.take(6 - first_step)]

    whole, late = draw(0), draw(0, first_step=4)
    np.testing.assert_array_equal(whole[4:], late)
    assert not np.array_equal(whole, draw(1))


NOISY = Degradation("box", blur=(0.1, 0.4), noise=(0.01, 0.05))


def test_lr_can_be_made_anew_for_every_crop_and_depends_on_seed_and_position_alone(cache):
    def draw(seed=0, first_step=0, drawn=NOISY):
        batches = training_batches(
            [cache], batch=4, crop=8, flips=False, seed=seed, first_step=first_step, drawn=drawn
        )
        return [(lr.numpy(), hr.numpy()) for lr, hr in batches.take(4)]

    made, clean = draw(), draw(drawn=None)
    for (lr, hr), (clean_lr, clean_hr) in zip(made, clean, strict=True):
        np.testing.assert_array_equal(hr, clean_hr)  # the same crops
        assert 0.005 < np.abs(lr - clean_lr).std() < 0.2
    for first, again in zip(made[2:], draw(first_step=2)[:2], strict=True):
        np.testing.assert_array_equal(first[0], again[0])


def test_a_fixed_degradation_of_a_crop_is_that_of_its_film(cache):
    box = Degradation("box")
    batches = training_batches([cache], batch=4, crop=8, flips=False, seed=0, drawn=box)
    for lr, hr in batches.take(3):
        means = hr.numpy().reshape(4, 8, 4, 8, 4).mean(axis=(2, 4))
        np.testing.assert_allclose(lr[..., 0], means, atol=1 / 255)


def test_films_that_came_with_lr_keep_it(cache):
    found = [replace(film, lr_path=film.path) for film in cache.films]
    paired = replace(cache, films=tuple(found))
    settings = {"batch": 4, "crop": 8, "flips": False, "seed": 0}
    for (lr, _), (kept, _) in zip(
        training_batches([paired], **settings, drawn=NOISY).take(2),
        training_batches([cache], **settings).take(2),
        strict=True,
    ):
        np.testing.assert_array_equal(lr, kept)


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
    begun = numbers(training_batches([numbered], **settings), 9)
    resumed = numbers(training_batches([numbered], **settings, first_step=9), 12)
    drawn = sum(begun + resumed, [])
    epochs = [drawn[start : start + 7] for start in range(0, 84, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 6
    assert begun + resumed == numbers(training_batches([numbered], **settings), 21)


def test_workers_and_replicas_draw_together_what_one_process_draws(cache):
    settings = {"batch": 8, "crop": 6, "flips": True, "seed": 4, "first_step": 3}
    whole = training_batches([cache], **settings)
    parts = [
        iter(training_batches([cache], **settings, pipeline=(worker, 2), replicas=2))
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
            [cache], batch=batch, crop=6, flips=False, seed=0, pipeline=pipeline, replicas=replicas
        )


def test_a_crop_larger_than_lr_is_refused(cache):
    with pytest.raises(UserError, match="crop=17"):
        training_batches([cache], batch=1, crop=17, flips=True, seed=0)


def test_pairs_are_mixed_and_each_film_is_shown_once_at_each(films, cache):
    """The large pair holds two of the films, one of 16 bits; each crop comes at its own depth."""
    large = PairCache.load(films[3:5], Pair.parse("20:80"))
    batches = iter(training_batches([cache, large], batch=9, crop=6, flips=True, seed=0))
    for _ in range(2):
        lr, hr = (part.numpy()[..., 0] for part in next(batches))
        found = [locate_in([cache, large], *crops) for crops in zip(lr, hr, strict=True)]
        assert sorted(found) == [(0, row) for row in range(7)] + [(1, 0), (1, 1)]


def locate_in(caches, lr, hr) -> tuple[int, int]:
    """(cache, row) that a crop was cut from."""
    for number, cache in enumerate(caches):
        try:
            return number, locate(cache, lr, hr)[0]
        except AssertionError:
            continue
    raise AssertionError("the crop is in none of the caches")


def test_a_mix_reaches_the_far_corners_of_each_pair(tmp_path):
    """Each pixel of these films tells its place, so the reach of the crops can be read."""
    places = np.add.outer(np.arange(128), np.arange(128)) / 255
    write(tmp_path / "p.png", Radiograph(places.astype(np.float32)))
    caches = [
        PairCache.load([film(tmp_path / "p.png")], Pair.parse(p)) for p in ("16:64", "32:128")
    ]
    batches = training_batches(caches, batch=64, crop=8, flips=False, seed=0).take(4)
    corners = np.concatenate([hr.numpy()[:, 0, 0, 0] for _, hr in batches]) * 255
    assert corners.min() < 12
    assert corners.max() > 150  # 128 is the most of the small pair, 192 of the large one
