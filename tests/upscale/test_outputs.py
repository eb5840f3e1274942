"""Names of outputs, and how an output says whose it is."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.io import Provenance, Radiograph, write
from xraysr.upscale.outputs import default_output, find_wanted, made_by, output_names

HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "dicom", "names"),
    [
        ("a/film.png", False, ["a/film.png", "a/film-2.png", "a/film-3.png"]),
        ("film.jpg", False, ["film.png", "film.jpg.png", "film-2.png"]),
        ("film.PNG", False, ["film.png", "film-2.png", "film-3.png"]),
        ("IM1", True, ["IM1.dcm", "IM1-2.dcm", "IM1-3.dcm"]),
        ("IM1.dcm", True, ["IM1.dcm", "IM1-2.dcm", "IM1-3.dcm"]),
        ("1.2.840.7", True, ["1.2.840.7.dcm", "1.2.840.7-2.dcm", "1.2.840.7-3.dcm"]),
        ("A.IMA", True, ["A.dcm", "A.IMA.dcm", "A-2.dcm"]),
        ("film.png", True, ["film.dcm", "film.png.dcm", "film-2.dcm"]),
    ],
)
def test_the_names_that_an_output_may_have(name, dicom, names):
    assert [str(each) for each in islice(output_names(Path(name), dicom), 3)] == names


def test_a_long_name_leaves_room():
    for each in islice(output_names(Path("x" * 250 + ".jpg"), False), 3):
        assert len(each.name) < 230


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".dcm"])
def test_an_output_says_what_made_it_of_which_film(tmp_path, suffix):
    made = Provenance("chest \u2603", "ab", 2, options=("faithful",), source_sha256=HASH)
    path = tmp_path / f"sr{suffix}"
    write(path, Radiograph(np.zeros((300, 500), np.float32), provenance=made))
    found = made_by(path)
    assert found == (made.maker, HASH)
    assert found.maker == "model chest ? (weights sha256 ab), x2, faithful"


@pytest.mark.parametrize(
    "content", [b"", b"xraysr", b"xraysr 1, model m: film sha256 " + b"0" * 64]
)
def test_what_says_nothing_is_nobodys(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert made_by(tmp_path / "file") is None
    assert made_by(tmp_path / "nowhere") is None
    assert made_by(tmp_path) is None


def test_the_output_of_a_single_film_lies_beside_it(tmp_path):
    for name in ("film.tif", "film.dcm"):
        write(tmp_path / name, Radiograph(np.zeros((4, 4), np.float32)))
    assert default_output([tmp_path / "film.tif"], 3) == tmp_path / "film_x3.png"
    assert default_output([tmp_path / "film.dcm"], 4) == tmp_path / "film_x4.dcm"
    for sources in ([tmp_path], [tmp_path / "film.tif"] * 2):
        with pytest.raises(UserError, match="name one with out"):
            default_output(sources, 4)


def test_what_a_folder_holds_besides_films(tmp_path):
    films = tmp_path / "films"
    write(films / "a.png", Radiograph(np.eye(9, dtype=np.float32) * 0.5 + 0.1))
    (films / "notes.txt").write_text("notes")
    (films / "gone.png").symlink_to(films / "nowhere")
    wanted, others = find_wanted([films], tmp_path / "out")
    assert [each.name for each in wanted] == [Path("a.png")]
    assert {each.path.name for each in others} == {"notes.txt", "gone.png"}
