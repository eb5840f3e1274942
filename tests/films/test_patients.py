"""Patient ids from names and DICOM headers, and the split that hangs on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from xraysr.errors import UserError
from xraysr.films.patients import patient_id, shared_patients, split_of

SHARES = (0.75, 0.10, 0.15)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1015_virus_1701.jpeg", "person1015"),
        ("person10_bacteria_43.jpeg", "person10"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0187-0001-0002.jpeg", "IM-0187"),
        ("NORMAL2-IM-1423-0001.jpeg", "NORMAL2-IM-1423"),
        ("00001682_001.png", "00001682"),
        ("00001682_001-1f2e3d4c.png", "00001682"),
        ("00001682_0015.png", "00001682_0015"),
        ("my film.tif", "my film"),
        ("personal_1.png", "personal_1"),
    ],
)
def test_patient_id_from_the_name(name, patient):
    assert patient_id(Path("x") / name) == patient


def test_patient_id_of_the_real_films(shared_data):
    films = list((shared_data / "kermany_224").rglob("*.jpeg"))
    patients = {patient_id(film) for film in films}
    assert films
    assert not {film.stem for film in films} & patients  # every name was understood


def test_split_has_the_shares_asked_for():
    splits = [split_of(f"person{n}", SHARES) for n in range(20_000)]
    for split, share in zip(("train", "val", "test"), SHARES, strict=True):
        assert splits.count(split) / len(splits) == pytest.approx(share, abs=0.01)


def test_split_is_the_position_of_the_sha256():
    for n in range(200):
        position = int(hashlib.sha256(f"p{n}".encode()).hexdigest(), 16) / 2**256
        expected = "train" if position < 0.75 else "val" if position < 0.85 else "test"
        assert split_of(f"p{n}", SHARES) == expected


def test_split_without_a_test_share_gives_none():
    assert {split_of(f"p{n}", (0.9, 0.1, 0.0)) for n in range(5000)} == {"train", "val"}


@pytest.mark.parametrize("fractions", [(0.5, 0.1, 0.1), (1.2, -0.2, 0.0)])
def test_wrong_fractions_are_refused(fractions):
    with pytest.raises(UserError, match="sum to 1"):
        split_of("p", fractions)


def test_shared_patients():
    assert shared_patients(["b", "a", "c"], ["c", "b", "b", "d"]) == ["b", "c"]
