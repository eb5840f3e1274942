"""Patient ids from names and DICOM headers, and the split that hangs on them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from xraysr.errors import UserError
from xraysr.films.finder import find_films
from xraysr.films.index import index_films
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


def told(root: Path) -> dict[str, tuple[str, str]]:
    films, _ = find_films(root)
    return {film.path.name: (film.patient, film.told_by) for film in films}


def test_the_header_goes_before_the_layout_and_the_study_before_the_name(tmp_path, write_dicom):
    write_dicom(tmp_path / "person1_a.dcm", PatientID="P-77", StudyInstanceUID="1.2.3")
    write_dicom(tmp_path / "person1_b.dcm", PatientID="", StudyInstanceUID="1.2.3")
    write_dicom(tmp_path / "c", StudyInstanceUID="1.2.3")
    write_dicom(tmp_path / "person1_d")
    assert told(tmp_path) == {
        "person1_a.dcm": ("P-77", "PatientID of DICOM headers"),
        "person1_b.dcm": ("1.2.3", "StudyInstanceUID of DICOM headers"),
        "c": ("1.2.3", "StudyInstanceUID of DICOM headers"),
        "person1_d": ("person1", "the layout of Kermany"),
    }


def test_ids_of_cbis_ddsm_name_a_patient_not_a_view(tmp_path, write_dicom):
    for view in ("LEFT_CC", "RIGHT_MLO"):
        write_dicom(tmp_path / view, PatientID=f"Mass-Training_P_00001_{view}")
    assert {patient for patient, _ in told(tmp_path).values()} == {"P_00001"}


def test_ids_of_nobody_are_a_warning(tmp_path, write_dicom):
    for n in range(4):
        write_dicom(tmp_path / f"a{n}", PatientID="ANONYMOUS" if n else "0017")
    summary = index_films(tmp_path).summary()
    assert "warning: 3 films have an id that names nobody (ANONYMOUS): they count as one" in summary


def test_one_patient_with_most_films_is_a_warning(tmp_path, touch):
    touch(tmp_path, *(f"person1_virus_{n}.png" for n in range(9)), "person2_virus_1.png")
    assert "one patient (person1) has 9 of 10 films" in index_films(tmp_path).summary()
