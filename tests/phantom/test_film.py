"""The physics of the phantom: attenuation, noise, exposure, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from xraysr.degradation import LATITUDE, Degradation
from xraysr.phantom import film as module
from xraysr.phantom.anatomy import Anatomy
from xraysr.phantom.film import develop, expose, line_integral, make_phantom, write_phantoms
from xraysr.phantom.projection import Grid


@pytest.fixture(scope="module")
def films():
    return [make_phantom(seed, 256) for seed in range(4)]


def halves(image: np.ndarray) -> np.ndarray:
    return image.astype(float).reshape(len(image) // 2, 2, -1, 2).mean(axis=(1, 3))


def test_a_seed_gives_the_same_bytes():
    first, second = make_phantom(11, 64), make_phantom(11, 64)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert (first.spacing, first.nodules) == (second.spacing, second.nodules)


def test_a_film_is_12_bit_and_of_human_size(films):
    for film in films:
        assert film.pixels.dtype == np.uint16 and film.pixels.shape == (256, 256)
        assert film.bits == 12 and film.pixels.max() <= 4095
        assert 360 <= film.spacing * 256 <= 430


def test_the_range_is_used_and_not_clipped(films):
    for film in films:
        low, high = np.percentile(film.pixels, (1, 99))
        assert low < 300 and high > 2900
        assert np.mean((film.pixels == 0) | (film.pixels == 4095)) < 0.01


def test_lungs_are_dark_and_the_mediastinum_bright(films):
    for film in films:
        values = film.pixels / 4095
        lungs = np.concatenate([values[110:140, 60:90], values[110:140, 166:196]])
        assert 0.1 < lungs.mean() < 0.4
        assert values[110:190, 120:136].mean() > lungs.mean() + 0.25


def test_the_heart_lies_to_the_right_of_the_image(films):
    excess = [
        film.pixels[150:180, 150:180].mean() - film.pixels[150:180, 76:106].mean() for film in films
    ]
    assert np.mean(excess) > 200


def test_seeds_give_different_patients(films):
    pixels = [film.pixels.astype(float) for film in films]
    for index, one in enumerate(pixels):
        for other in pixels[index + 1 :]:
            assert np.abs(one - other).mean() > 0.02 * 4095
    assert len({film.spacing for film in films}) == len(films)
    assert len({len(film.nodules) for film in films}) > 1


@pytest.mark.parametrize("size", [64, 255, 600])
def test_any_size_shows_the_same_patient(size, films):
    film, whole = make_phantom(3, size), films[3]
    assert film.pixels.shape == (size, size)
    assert film.spacing * size == pytest.approx(whole.spacing * 256)
    assert film.pixels.mean() == pytest.approx(whole.pixels.mean(), rel=0.02)


def test_a_smaller_film_is_the_larger_one_reduced(films):
    small, large = films[3], make_phantom(3, 512)
    reduced = halves(large.pixels)
    assert np.corrcoef(small.pixels.ravel(), reduced.ravel())[0, 1] > 0.995
    assert np.abs(small.pixels - reduced).mean() < 0.015 * 4095
    for one, other in zip(small.nodules, large.nodules, strict=True):
        assert one.radius == pytest.approx(other.radius / 2)
        assert one.row + 0.5 == pytest.approx((other.row + 0.5) / 2)


def test_a_nodule_adds_its_chord_times_the_difference_in_attenuation():
    patient = replace(Anatomy.sample(np.random.default_rng(5)), nodules=((-7.0, -3.0, 1.2),))
    grid = Grid(256, 37.0, patient.yaw, patient.lean)
    with_it, without = (
        line_integral(who, grid, np.random.default_rng(0))
        for who in (patient, replace(patient, nodules=()))
    )
    added = with_it - without
    column, row = grid.project(np.array([[-7.0, -3.0, 0.0]]))[0]
    centre = added[int(round(row)), int(round(column))]
    contrast = 0.203 - 0.26 * 0.203
    assert centre == pytest.approx(contrast * 2 * 1.2, rel=0.01)
    assert added.sum() * grid.pitch**2 == pytest.approx(contrast * 4 / 3 * np.pi * 1.2**3, rel=0.02)


def test_nodules_brighten_the_film_where_they_are_said_to_be(films, monkeypatch):
    film = max(films, key=lambda film: len(film.nodules))
    sample = Anatomy.sample
    monkeypatch.setattr(
        module.Anatomy, "sample", staticmethod(lambda rng: replace(sample(rng), nodules=()))
    )
    bare = make_phantom(film.seed, 256)
    assert bare.nodules == ()
    rows, columns = np.mgrid[:256, :256]
    added = film.pixels.astype(float) - bare.pixels
    distance = [np.hypot(rows - n.row, columns - n.column) / n.radius for n in film.nodules]
    for nodule, here in zip(film.nodules, distance, strict=True):
        assert 4 <= nodule.radius * film.spacing <= 15
        assert added[here < 0.6].mean() > 40
    assert abs(added[np.min(distance, axis=0) > 1.5].mean()) < 10


def test_a_slab_obeys_beer_lambert(monkeypatch):
    grid, rng = Grid(64, 37.0), np.random.default_rng(0)
    integral = np.full((64, 64), 2.0, np.float32)
    integral[:, 40:44] += np.log(2.0)
    monkeypatch.setattr(module, "SCATTER", 0.0)
    quanta = expose(integral, grid, 1e8, rng)
    assert quanta[:, 41:43].mean() / quanta[:, 5:30].mean() == pytest.approx(0.5, rel=0.01)


def test_scatter_fills_the_shadows():
    integral = np.full((64, 64), 2.0, np.float32)
    integral[:, 30:34] = 6.0
    quanta = expose(integral, Grid(64, 37.0), 1e8, np.random.default_rng(0))
    primary = np.exp(-4.0)
    assert 1.3 * primary < quanta[:, 31:33].mean() / quanta[:, 5].mean() < 6 * primary


@pytest.mark.parametrize("fluence", [1e4, 1e6])
def test_the_noise_is_poisson(fluence):
    grid = Grid(128, 37.0)
    integral = np.full((128, 128), 2.0, np.float32)
    quanta = expose(integral, grid, fluence, np.random.default_rng(1))[8:-8, 8:-8]
    photons = fluence * grid.pitch**2
    expected = quanta.mean() / photons
    assert quanta.var() == pytest.approx(expected, rel=0.06)


def test_noise_in_the_film_is_low_but_there():
    patient = Anatomy.sample(np.random.default_rng(2))
    grid = Grid(512, 37.0, patient.yaw, patient.lean)
    integral = line_integral(patient, grid, np.random.default_rng(0))
    one, other = (
        develop(expose(integral, grid, 8e5, np.random.default_rng(seed))).astype(float)
        for seed in (1, 2)
    )
    sigma = (one - other) / np.sqrt(2) / 4095
    assert 0.001 < sigma[200:260, 100:180].std() < 0.008
    assert 0.002 < sigma[420:500, 220:300].std() < 0.015


def test_develop_rises_with_density():
    values = develop(np.array([[0.0, 0.01, 0.1, 1.0, 10.0]]))[0].astype(int)
    assert (np.diff(values) < 0).all()


def test_a_detectors_noise_is_what_it_says_at_middle_grey():
    quiet, noisy = (
        make_phantom(3, 128, Degradation("box", quanta=quanta)).pixels / 4095
        for quanta in (0.0, 0.01)
    )
    middle, dark = np.abs(quiet - 0.5) < 0.05, np.abs(quiet - 0.25) < 0.05
    noise = noisy - quiet
    assert noise[middle].std() == pytest.approx(0.01, rel=0.05)
    assert noise[dark].std() == pytest.approx(0.01 * np.exp(-LATITUDE / 8), rel=0.1)
    assert abs(noise[middle].mean()) < 5e-4


TABLE = ((0, 1), (0.1, 0.95), (0.25, 0.8), (0.5, 0.45), (0.75, 0.2), (1, 0.05))


@pytest.mark.parametrize("detector", [Degradation("box", blur=0.5), Degradation("box", mtf=TABLE)])
def test_an_edge_on_the_phantom_has_the_detectors_mtf(monkeypatch, detector):
    """The edge is put at four places within a pixel, as by a slanted edge (ISO 12233)."""
    spread = np.zeros(256)
    for shift in range(4):
        integral = np.full((256, 256), 1.5, np.float32)
        integral[:, 128 + shift :] = 2.5
        monkeypatch.setattr(module, "SCATTER", 0.0)
        monkeypatch.setattr(module, "line_integral", lambda *_, integral=integral: integral)
        spread[3 - shift :: 4] = make_phantom(0, 64, detector).pixels.mean(axis=0)
    line = np.diff(spread[64:-64])
    frequency = np.fft.rfftfreq(len(line), 1 / 4)[1:]
    measured = np.abs(np.fft.rfft(line / line.sum()))[1:]
    mtf = detector.mtf or [(f, np.exp(-2 * (np.pi * f * 0.5) ** 2)) for f in np.linspace(0, 2, 99)]
    aperture = np.abs(np.sin(np.pi * frequency) / (4 * np.sin(np.pi * frequency / 4)))
    expected = np.interp(frequency, *np.array(mtf).T, right=0.0) * aperture
    seen = frequency < 1
    np.testing.assert_allclose(measured[seen], expected[seen], atol=0.02)


def test_a_detector_takes_the_same_patient_and_the_same_bytes(films):
    detector = Degradation("box", blur=0.3, quanta=0.004, bits=8)
    film = make_phantom(3, 128, detector)
    assert film.pixels.tobytes() == make_phantom(3, 128, detector).pixels.tobytes()
    assert film.bits == 12 and len(np.unique(film.pixels)) <= 256
    whole = halves(films[3].pixels)
    assert np.corrcoef(film.pixels.ravel(), whole.ravel())[0, 1] > 0.995
    assert film.spacing == pytest.approx(2 * films[3].spacing)
    for one, other in zip(film.nodules, films[3].nodules, strict=True):
        assert one.row + 0.5 == pytest.approx((other.row + 0.5) / 2)


def test_files_hold_the_films_and_their_records(tmp_path):
    paths = write_phantoms(tmp_path / "new", 2, size=64, seed=7)
    assert [path.name for path in paths] == ["phantom_0007.png", "phantom_0008.png"]
    records = json.loads((tmp_path / "new" / "phantoms.json").read_text())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "phantom_0007.png", "phantom_0008.png", "phantoms.json",
    ]  # fmt: skip
    for path, seed in zip(paths, (7, 8), strict=True):
        film, record = make_phantom(seed, 64), records[path.name]
        with Image.open(path) as image:
            assert image.mode.startswith("I;16")
            stored = np.asarray(image).astype(np.int64)
        assert (stored == np.rint(film.pixels * (65535 / 4095))).all()
        assert record["seed"] == seed and record["spacing"] == film.spacing
        assert [nodule["row"] for nodule in record["nodules"]] == [n.row for n in film.nodules]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first, second = (write_phantoms(tmp_path / name, 1, size=64)[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda folder: make_phantom(0, 63), r"size=63"),
        (lambda folder: make_phantom(-1), r"seed=-1"),
        (lambda folder: write_phantoms(folder, 0), r"count=0"),
        (lambda folder: write_phantoms(folder, 1, size=10), r"size=10"),
        (lambda folder: write_phantoms(folder, 1, seed=-3), r"seed=-3"),
    ],
)
def test_bad_arguments_are_named(tmp_path, call, message):
    with pytest.raises(ValueError, match=r"Received: " + message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []
