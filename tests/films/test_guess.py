"""Patients in layouts nobody knows."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from xraysr.films.guess import guess_patients
from xraysr.films.index import index_films

GROUPED = {
    "patient_12": "site {p}/patient_{p}/{f}.png",
    "subject3": "set/subject{p}_{f}.png",
    "case 7": "case {p}/view {f}.png",
    "p001": "NORMAL/p{p:03}/{f}.png",
    "MRN": "MRN{p:06}/20200101/{f}.png",
    "numbers": "{p:07}/2020-01-0{f}/x.png",
    "codes": "data/X{p}K/scan{f}.png",
    "names with numbers": "DOE_JOHN_{p}/20200101 - CHEST/{f} - PA/0001.png",
    "hospital first": "hospital1/{p:05}/{f}.png",
    "size first": "256x256/{p:05}/{f}.png",
    "begins alike": "A{p}_{view}.png",
    "Horos": "DOE_{p}/Study/Series/IM-0001-000{f}.png",
    "Horos without numbers": "DOE{letters}/Thorax/PA/IM-0001-000{f}.png",
    "views": "DOE {letters}_{view}.png",
    "years": "2015{p:06}_{f}.png",
    "begins alike in folders": "{view}/A{p}_{view}.png",
}


@pytest.mark.parametrize("layout", GROUPED)
def test_films_of_a_patient_stay_together(tmp_path, touch, layout):
    truth = {
        GROUPED[layout].format(
            p=p, f=f, view=("", "pa", "lat")[f], letters="ABCDEFG"[p % 7] + "VWXYZ"[p // 7]
        ): p
        for p in range(1, 31)
        for f in (1, 2)
    }
    index = index_films(touch(tmp_path, *truth))
    whose = {f.path.relative_to(tmp_path).as_posix(): f.patient for f in index.films}
    assert len(set(whose.values())) == 30
    assert len({(truth[path], patient) for path, patient in whose.items()}) == 30
    assert len({(film.patient, film.split) for film in index.films}) == 30
    assert all(index.of(split) for split in ("train", "val", "test"))
    [line] = [line for line in index.summary().splitlines() if line.startswith("patients: ")]
    assert "names" in line and "such as" in line


NAMES = ("smith", "jones", "brown", "garcia", "miller", "davis")


def test_folders_named_after_people(tmp_path, touch):
    touch(tmp_path, *(f"NORMAL/{name}/chest_{n}/pa.png" for name in NAMES for n in range(2)))
    assert {film.patient for film in index_films(tmp_path).films} == set(NAMES)


@pytest.mark.parametrize(
    "paths",
    [
        [f"{label}/{label} {n}.png" for label in ("NORMAL", "COVID", "Mass") for n in range(9)],
        [f"train/{grade}/film{grade}{n:02}.png" for grade in range(5) for n in range(20)],
        [f"images_{n // 50:03}/f{n:05}.png" for n in range(200)],
        [f"2020/f{n:05}.png" for n in range(20)],
        [f"COVID-19 ({n}).png" for n in range(20)],
        [f"IMG_2020_{n:04}.png" for n in range(20)],
        ["a.png"],
    ],
)
def test_folders_that_are_no_patients_leave_the_name(paths):
    guesses = guess_patients([PurePath(path) for path in paths])
    assert {guess.told_by for guess in guesses} == {"file names"}


def test_a_few_strays_do_not_spoil_a_guess():
    paths = [f"p{n:02}/{f}.png" for n in range(10) for f in (1, 2)] + ["cover.png"]
    guesses = guess_patients([PurePath(path) for path in paths])
    assert len({guess.patient for guess in guesses}) == 11


def test_nothing_to_go_by_is_a_warning(tmp_path, touch):
    touch(tmp_path, *(f"film {letter}.png" for letter in "abcdefghijklmnopqrst"))
    assert "nothing tells which films are of one patient" in index_films(tmp_path).summary()
