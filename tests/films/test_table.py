"""The user's table of patients, as public sets and people write them."""

from __future__ import annotations

import gzip

import pytest

from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.films.table import PatientTable

TABLES = {
    "NIH": ("Image Index,Finding Labels,Patient ID,Patient Age\n{film}.png,x,{who},58\n", None),
    "MIMIC": ("dicom_id,subject_id,study_id,Rows\n{film},{who},{film}9,3056\n", None),
    "PadChest": ("ImageID,ImageDir,StudyID,PatientID\n{film}.png,0,{film}8,{who}\n", None),
    "RSNA": ("patientId,x,Target\n{film},,0\n", "{film}"),
    "CheXpert": ("Path,Sex,patient\nCheXpert/train/a/{film}.jpg,F,{who}\n", None),
    "semicolons": ("path;patient_id\nset\\a\\{film}.png;{who}\n", None),
    "UIDs": ("StudyInstanceUID\tETT\tPatientID\n{film}\t0\t{who}\n", None),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_public_sets(tmp_path, touch, kind):
    text, whose = TABLES[kind]
    head, row = text.splitlines(keepends=True)
    films = {f"film{n:03}": f"P{n // 3}" for n in range(90)}
    table = tmp_path / "films.csv"
    table.write_text(head + "".join(row.format(film=f, who=w) for f, w in films.items()))
    touch(tmp_path / "a", *(f"a/{film}.png" for film in films))
    index = index_films(tmp_path / "a", patients=table)
    want = {film: whose.format(film=film) if whose else who for film, who in films.items()}
    assert {film.name: film.patient for film in index.films} == want
    assert len({(film.patient, film.split) for film in index.films}) == len(set(want.values()))
    assert "patients: told by the table films.csv (90 films)" in index.summary()


def test_named_columns_and_gzip(tmp_path, touch):
    (tmp_path / "t.csv.gz").write_bytes(
        gzip.compress("﻿who,a,where\n1,x,f1.png\n2,x,f2.png\n".encode())
    )
    touch(tmp_path / "films", "train/f1.png", "test/f2.png", "test/f3.png")
    index = index_films(
        tmp_path / "films",
        patients=tmp_path / "t.csv.gz",
        patient_column="who",
        path_column="where",
    )
    assert {film.name: film.patient for film in index.films} == {"f1": "1", "f2": "2"}
    assert [str(each.path.name) for each in index.skipped] == ["f3.png"]
    assert index.skipped[0].reason == "the table of patients does not say whose it is"


def test_the_table_goes_before_headers(tmp_path, write_dicom):
    for n in range(3):
        write_dicom(tmp_path / "films" / f"IM{n}", PatientID="ANON", Modality="DX")
    (tmp_path / "t.csv").write_text("path,patient\n" + "".join(f"IM{n},p{n}\n" for n in range(3)))
    index = index_films(tmp_path / "films", patients=tmp_path / "t.csv")
    assert {film.patient for film in index.films} == {"p0", "p1", "p2"}


def test_the_longest_end_of_a_path_counts(tmp_path):
    table = PatientTable({"a/1.png": "A", "b/1.png": "B", "c/2.png": "C"}, "t.csv")
    path = type(tmp_path)
    assert table.patient_of(path("x/a/1.png")) == "A" and table.patient_of(path("b/1.jpg")) == "B"
    assert table.patient_of(path("1.png")) is None and table.patient_of(path("2.dcm")) == "C"


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "a,b\n1,2\n",
            {},
            r"patient_column must be a column of .*, which has a, b. Received: N",
        ),
        ("a,patient\n1,2\n", {"path_column": "z"}, "path_column must be .*Received: 'z'"),
        ("path,patient\n1.png,A\n1.png,B\n", {}, "gives 1.png two patients: A and B"),
        ("path,patient\nother.png,A\n", {}, "names none of the 1 films. It has other.png; the"),
        ("path,patient\n", {}, "is empty"),
        (b"\xff\xfe\x00", {}, "cannot be read"),
        (None, {}, "cannot be read: .*No such file"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, touch, text, columns, message):
    touch(tmp_path / "films", "x.png")
    table = tmp_path / "t.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        index_films(tmp_path / "films", patients=table, **columns)
