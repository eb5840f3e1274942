"""Finding films in a tree: any depth, once each, and what is none is named."""

from __future__ import annotations

import os

import pytest

from xraysr.errors import UserError
from xraysr.films.index import index_films

KERMANY = (
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0200-0001.jpeg",
    "chest_xray/train/PNEUMONIA/person7_bacteria_1.jpeg",
    "chest_xray/val/NORMAL/IM-0300-0001.jpeg",
    "chest_xray/test/PNEUMONIA/person9_virus_3.jpeg",
)


@pytest.mark.parametrize("top", ["", "chest_xray", "chest_xray/train"])
def test_any_depth_gives_the_same_films(tmp_path, top, touch):
    index = index_films(touch(tmp_path, *KERMANY) / top)
    assert {film.name for film in index.films} >= {"IM-0115-0001", "person7_bacteria_1"}
    assert {film.label for film in index.films} == {"NORMAL", "PNEUMONIA"}


@pytest.mark.parametrize("below", ["", "chest_xray"])
def test_the_kaggle_zip_counts_each_film_once(tmp_path, below, touch, reasons):
    touch(tmp_path, *KERMANY)
    touch(tmp_path / "chest_xray", *KERMANY)
    clutter = ("__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg", ".DS_Store", "Thumbs.db")
    touch(tmp_path / "chest_xray", *clutter)
    index = index_films(tmp_path / below)
    assert len(index.films) == len(KERMANY)
    assert {len(film.path.relative_to(tmp_path).parts) for film in index.films} == {4}
    counted = list(reasons(index).values())
    assert counted.count("a doubled folder's second copy of a film") == len(KERMANY)
    assert counted.count("a hidden or system file") == len(clutter)
    assert len(counted) == len(KERMANY) + len(clutter)


def test_a_folder_that_is_only_doubled_is_read(tmp_path, touch):
    index = index_films(touch(tmp_path / "chest_xray", *KERMANY))
    assert len(index.films) == len(KERMANY) and not index.skipped


def test_names_are_unique_and_do_not_depend_on_other_films(tmp_path, touch):
    touch(tmp_path, "A/x.png", "B/x.png", "B/X.jpeg", "B/y.png", "z.png")
    names = {
        film.path.name + film.path.parent.name: film.name for film in index_films(tmp_path).films
    }
    assert len({name.lower() for name in names.values()}) == 5
    assert names["y.pngB"] == "y" and names["x.pngA"].startswith("x-")
    touch(tmp_path, "C/x.png")
    again = {
        film.path.name + film.path.parent.name: film.name for film in index_films(tmp_path).films
    }
    assert names.items() <= again.items()


def test_a_data_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        index_films(tmp_path)


def test_names_without_suffix_are_whole(tmp_path, write_dicom):
    for name in ("DX.1.2.3", "DX.1.2.4", "IM1", "IM2.dcm"):
        write_dicom(tmp_path / name)
    names = {film.path.name: film.name for film in index_films(tmp_path).films}
    assert names == {"DX.1.2.3": "DX.1.2.3", "DX.1.2.4": "DX.1.2.4", "IM1": "IM1", "IM2.dcm": "IM2"}


def test_two_files_of_one_stem_have_two_names(tmp_path, touch, write_dicom):
    touch(tmp_path, "a.png", "a.jpg")
    write_dicom(tmp_path / "IM1")
    write_dicom(tmp_path / "IM1.dcm")
    assert len({film.name.lower() for film in index_films(tmp_path).films}) == 4
