"""The films of a run, from memory, from a disk cache, and from storage behind an address."""

import json
from dataclasses import replace

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models.open import load_generator
from xraysr.training import resume_training, train
from xraysr.training.films import RunFilms
from xraysr.training.run import Run


@pytest.fixture
def short(tiny):
    """Four steps of the content phase."""
    return replace(tiny, steps=4, adversarial_share=0.0, validate_every=2)


def weights(run):
    return load_generator(run.generator).get_weights()


@pytest.mark.slow
def test_a_run_from_the_disk_cache_equals_the_one_from_memory(
    film_folder, short, tmp_path, monkeypatch
):
    in_memory = train(short, film_folder, tmp_path / "memory")
    first = train(short, film_folder, tmp_path / "first", cache=tmp_path / "cache")
    decoded = []
    monkeypatch.setattr("xraysr.data.pipeline.load_hr", lambda *_: decoded.append(1))
    again = train(short, film_folder, tmp_path / "again", cache=tmp_path / "cache")
    assert not decoded, "a film was decoded although the cache holds it"
    for other in (first, again):
        for a, b in zip(weights(in_memory), weights(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_films_behind_an_address_are_copied_first(film_folder, short, tmp_path):
    address = f"file://{film_folder}"
    run = train(short, address, tmp_path / "run", cache=tmp_path / "cache")
    plain = train(short, film_folder, tmp_path / "plain")
    for a, b in zip(weights(run), weights(plain), strict=True):
        np.testing.assert_array_equal(a, b)
    data = json.loads((run.path / "data.json").read_text())
    assert data["root"] == address == Run.open(run.path).data_root()
    assert len(data["train"]) == 8
    with pytest.raises(UserError, match="is finished"):
        resume_training(run.path, cache=tmp_path / "cache")


def test_an_address_needs_a_folder_for_the_copies(short, tmp_path):
    with pytest.raises(UserError, match="folder for them with cache.*gs://bucket/films"):
        train(short, "gs://bucket/films", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_patients_come_from_the_users_table(film_folder, short, tmp_path):
    table = tmp_path / "films.csv"
    names = [path.name for path in sorted(film_folder.rglob("*.png"))]
    table.write_text("file,who\n" + "".join(f"{name},P{n}\n" for n, name in enumerate(names)))
    films = RunFilms.load(replace(short, patients=str(table), patient_column="who"), film_folder)
    assert {film.patient for film in films.index.films} == {f"P{n}" for n in range(len(names))}
    assert any(line.startswith("patients: told by the table films.csv") for line in films.remarks())
    with pytest.raises(UserError, match="patient_column must be a column"):
        RunFilms.load(replace(short, patients=str(table)), film_folder)


def test_validation_films_are_spread_over_the_split(film_folder, short, monkeypatch):
    monkeypatch.setattr("xraysr.training.films.MAX_VALIDATION_FILMS", 1)
    films = RunFilms.load(short, film_folder)
    assert [len(cache) for cache in films.val] == [1]
    assert [len(cache) for cache in films.train] == [8]


def test_each_pair_of_a_mix_has_the_films_that_are_large_enough(film_folder, short):
    films = RunFilms.load(replace(short, mix=("12:48", "8:32")), film_folder)
    assert [str(cache.pair) for cache in films.train] == ["16:64", "12:48", "8:32"]
    assert films.to_json()["train"] == RunFilms.load(short, film_folder).to_json()["train"]


def test_other_films_than_before_are_refused(film_folder, short):
    films = RunFilms.load(short, film_folder)
    before = films.to_json()
    films.require_same(before)
    with pytest.raises(UserError, match="1 are new, 2 are gone"):
        films.require_same({"train": [*before["train"][1:], "a.png", "b.png"]})
