"""Finding films in a tree: any depth, once each, and what is none is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xraysr.films.index import FilmIndex, index_films


def touch(root: Path, *names: str) -> Path:
    """Creates files that only have the names of films; the index opens none of them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def by_path(index: FilmIndex) -> dict[str, tuple[str, str | None, str]]:
    return {
        film.path.relative_to(index.root).as_posix(): (film.patient, film.label, film.split)
        for film in index.films
    }


def reasons(index: FilmIndex) -> dict[str, str]:
    return {s.path.relative_to(index.root).as_posix(): s.reason for s in index.skipped}


KERMANY = (
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0200-0001.jpeg",
    "chest_xray/train/PNEUMONIA/person7_bacteria_1.jpeg",
    "chest_xray/val/NORMAL/IM-0300-0001.jpeg",
    "chest_xray/test/PNEUMONIA/person9_virus_3.jpeg",
)


@pytest.mark.parametrize("top", ["", "chest_xray", "chest_xray/train"])
def test_any_depth_gives_the_same_films(tmp_path, top):
    index = index_films(touch(tmp_path, *KERMANY) / top)
    assert {film.name for film in index.films} >= {"IM-0115-0001", "person7_bacteria_1"}
    assert {film.label for film in index.films} == {"NORMAL", "PNEUMONIA"}


@pytest.mark.parametrize("below", ["", "chest_xray"])
def test_the_kaggle_zip_counts_each_film_once(tmp_path, below):
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


def test_a_folder_that_is_only_doubled_is_read(tmp_path):
    index = index_films(touch(tmp_path / "chest_xray", *KERMANY))
    assert len(index.films) == len(KERMANY) and not index.skipped


def test_files_that_are_no_images_are_named(tmp_path):
    index = index_films(touch(tmp_path, "a.png", "b.png", "c.csv", "sub/README", "d.PNG"))
    assert len(index.films) == 3
    assert reasons(index) == {"c.csv": "not an image", "sub/README": "not an image"}
    assert "skipped: 2 files, not an image" in index.summary()


def test_names_are_unique_and_do_not_depend_on_other_films(tmp_path):
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


def test_folders_behind_links_are_read_once(tmp_path):
    touch(tmp_path / "elsewhere", "a.png", "b.png")
    root = touch(tmp_path / "root", "c.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    assert [film.name for film in index_films(root).films] == ["c", "a", "b"]


def test_a_name_that_is_no_text_is_skipped(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    try:
        with open(os.path.join(os.fsencode(tmp_path), b"\xff.png"), "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = index_films(tmp_path)
    assert [s.reason for s in index.skipped] == ["its path is not UTF-8 text"]
