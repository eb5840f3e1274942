"""What `xraysr films` says of a folder, and what it warns of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from xraysr.cli import app
from xraysr.errors import UserError
from xraysr.films.survey import survey_films, write_contact_sheet


@pytest.fixture
def hospital(tmp_path, write_dicom, touch):
    """Twelve DICOM films of six patients, a report, a CT slice and a note."""
    for n in range(12):
        write_dicom(
            tmp_path / f"IM{n:05}", PatientID=f"P{n // 2}", Modality="DX",
            ViewPosition=("PA", "LATERAL")[n % 2], BodyPartExamined="CHEST",
        )  # fmt: skip
    write_dicom(tmp_path / "IM90000", pixels=False, Modality="SR")
    write_dicom(tmp_path / "IM90001", Modality="CT")
    return touch(tmp_path, "notes.txt")


def test_a_folder_is_shown_as_it_is_understood(hospital):
    text = survey_films(hospital).text()
    for line in (
        f"12 films of 6 patients in {hospital}",
        "patients: told by PatientID of DICOM headers (12 films)",
        "sizes: 12 8x8",
        "views: 6 CHEST PA, 6 CHEST LATERAL",
        "skipped: 1 file, DICOM, but no radiograph: CT",
        "skipped: 1 file, DICOM, but no radiograph: a report",
        f"  skipped {hospital / 'notes.txt'}: text, which is not read",
    ):
        assert line in text.splitlines()
    assert "warning" not in text


def test_json_names_every_film(hospital):
    content = json.loads(json.dumps(survey_films(hospital).to_json()))
    assert content["films"][0] == {
        "path": "IM00000", "name": "IM00000", "patient": "P0",
        "told_by": "PatientID of DICOM headers", "label": None,
        "split": content["films"][1]["split"],
    }  # fmt: skip
    assert len(content["films"]) == 12 and len(content["skipped"]) == 3
    assert content["views"] == {"CHEST PA": 6, "CHEST LATERAL": 6} and not content["warnings"]


def test_what_index_films_refuses_is_a_warning(tmp_path, touch):
    touch(tmp_path / "a", *(f"{split}/person1_virus_{n}.png" for split in ("train", "test")
                            for n in range(2)))  # fmt: skip
    warnings = survey_films(tmp_path / "a").to_json()["warnings"]
    assert any("train and test share 1 patients" in each for each in warnings)
    assert any("all 4 films are of one patient (person1)" in each for each in warnings)
    touch(tmp_path / "b", "person1_virus_1.png", "person1_virus_2.png")
    assert any("Only one patient" in each for each in survey_films(tmp_path / "b").warnings)


def test_black_and_white_films_and_lonely_ones_are_warned_of(tmp_path, write_mask):
    for n in range(12):
        write_mask(tmp_path / f"{'abcd'[n % 4]}" / f"film {'xyz'[n // 4] * (n + 1)}.png")
    warnings = survey_films(tmp_path).to_json()["warnings"]
    assert "12 of 12 films have two grey levels, as masks do" in warnings
    assert any("12 films has a patient of its own, though they lie in 4" in w for w in warnings)


def test_a_contact_sheet_shows_films_of_the_whole_folder(hospital, tmp_path, touch):
    touch(hospital, "z.jpg")
    (hospital / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    sheet = tmp_path / "out" / "sheet.png"
    skipped = write_contact_sheet(sheet, survey_films(hospital))
    assert [each.path.name for each in skipped] == ["bad.png"]
    with Image.open(sheet) as image:
        assert image.size == (8 * 160, 2 * 174) and len(np.unique(np.asarray(image))) > 20
    with pytest.raises(UserError, match="exists"):
        write_contact_sheet(sheet, survey_films(hospital))


def test_the_command(hospital, tmp_path):
    run = CliRunner().invoke
    shown = run(app, ["films", str(hospital)])
    assert shown.exit_code == 0 and "12 films of 6 patients" in shown.stdout
    (tmp_path / "t.csv").write_text("path,patient\n" + "".join(f"IM{n:05},X\n" for n in range(12)))
    words = ["--patients", str(tmp_path / "t.csv"), "--json", "--sheet", str(tmp_path / "s.png")]
    shown = run(app, ["films", str(hospital), *words])
    assert {film["patient"] for film in json.loads(shown.stdout)["films"]} == {"X"}
    assert (tmp_path / "s.png").is_file()
    assert isinstance(run(app, ["films", str(hospital), *words]).exception, UserError)
