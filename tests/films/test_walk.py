"""What is a film, and what each other thing is called."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from xraysr.errors import UserError
from xraysr.films import path_text, stem_of, walk_films

US, SR, PDF, KO = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("6.1", "88.11", "104.1", "88.59"))
SC = "1.2.840.10008.5.1.4.1.1.7"


def walked(root, **options):
    films, skipped = walk_films(root, **options)
    return (
        [film.path.relative_to(root).as_posix() for film in films],
        {path_text(each.path.relative_to(root)): each.reason for each in skipped},
    )


def test_films_are_told_by_content_not_by_name(tmp_path, touch, write_dicom):
    touch(tmp_path, "a.png", "b.txt.png", "plain", "c.bmp", "sub/d.jpg")
    for name in ("IM000001", "DX.1.2.3", "A.IMA"):
        write_dicom(tmp_path / name, Modality="DX")
    (tmp_path / "e.png").write_text("text\n")
    (tmp_path / "f.dcm").write_bytes(bytes(range(256)))
    (tmp_path / "g.png").touch()
    films, skipped = walk_films(tmp_path)
    kinds = {film.path.name: film.kind for film in films}
    assert kinds == {
        **dict.fromkeys(("A.IMA", "DX.1.2.3", "IM000001"), "DICOM"),
        **dict.fromkeys(("a.png", "b.txt.png", "c.bmp", "plain"), "PNG"),
        "d.jpg": "JPEG",
    }
    assert {each.path.name: each.reason for each in skipped} == {
        "e.png": "text, which is not read",
        "f.dcm": "not an image",
        "g.png": "is empty (0 bytes)",
    }


@pytest.mark.parametrize("kind", ["BMP", "WebP", "JPEG2000", "GIF", "PDF"])
def test_formats_that_are_not_read_are_named(tmp_path, touch, kind):
    Image.new("L", (8, 8), 7).save(tmp_path / "film.png", kind)
    touch(tmp_path, "a.png")
    _, skipped = walked(tmp_path)
    name = "JPEG 2000" if kind == "JPEG2000" else kind
    assert skipped == {"film.png": f"{name}, which is not read"}


def test_dicom_objects_that_are_no_radiographs_are_named(tmp_path, write_dicom):
    for modality in ("CR", "DX", "RG", "MG", "OT", ""):
        write_dicom(tmp_path / f"film {modality}", SC, Modality=modality)
    write_dicom(tmp_path / "ct", Modality="CT")
    write_dicom(tmp_path / "us", US)
    write_dicom(tmp_path / "report", SR, pixels=False, Modality="SR")
    write_dicom(tmp_path / "pdf", PDF, pixels=False, Modality="DOC")
    write_dicom(tmp_path / "key", KO, pixels=False)
    write_dicom(tmp_path / "none", pixels=False, Modality="DX")
    write_dicom(tmp_path / "index", "1.2.840.10008.1.3.10", pixels=False)
    write_dicom(tmp_path / "DICOMDIR", "1.2.840.10008.1.3.10", pixels=False)
    films, skipped = walked(tmp_path)
    assert len(films) == 6 and all(film.startswith("film ") for film in films)
    assert skipped == {
        "ct": "DICOM, but no radiograph: CT",
        "us": "DICOM, but no radiograph: ultrasound",
        "report": "DICOM, but no radiograph: a report",
        "pdf": "DICOM, but no radiograph: a document",
        "key": "DICOM, but no radiograph: a report",
        "none": "DICOM, but it holds no image",
        "index": "a DICOM directory",
        "DICOMDIR": "a DICOM directory",
    }


def test_a_damaged_header_is_left_to_the_reader_of_films(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", Modality="DX")
    path.write_bytes(path.read_bytes()[:200])
    [film], skipped = walk_films(tmp_path)
    assert film.header is None and not skipped


def test_headers_come_with_the_films(tmp_path, write_dicom):
    write_dicom(tmp_path / "a", Modality="DX", PatientID=" 7 ", ViewPosition="PA")
    [film], _ = walk_films(tmp_path)
    assert (film.header.patient, film.header.view, film.header.size) == ("7", "PA", (8, 8))


def test_masks_beside_films_are_no_films(tmp_path, touch, write_mask):
    touch(tmp_path, "images/a.png", "a.png", "damask/b.png")
    named = ["masks/a.png", "a_mask.png", "leftMask/a.png", "lung masks/a.png", "a_seg.png"]
    for name in named:
        touch(tmp_path, name)
    write_mask(tmp_path / "lungs" / "a.png")
    films, skipped = walked(tmp_path)
    assert films == ["a.png", "images/a.png"] or films == ["a.png", "damask/b.png", "images/a.png"]
    assert {skipped[name] for name in named} == {"a segmentation mask by its name"}
    assert skipped["lungs/a.png"] == "an image of two grey levels, as masks are"


def test_black_and_white_images_alone_are_what_there_is(tmp_path, write_mask):
    write_mask(tmp_path / "a.png")
    assert walked(tmp_path) == (["a.png"], {})


def test_pipes_and_links_that_lead_nowhere_are_named(tmp_path, touch):
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "b.dcm").symlink_to(tmp_path / "gone")
    (tmp_path / "linked").symlink_to(tmp_path / "pipe.png")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    films, skipped = walked(tmp_path)
    assert films == ["a.png"]
    assert skipped.pop("self").startswith("cannot be read: ")
    assert skipped == {
        "b.dcm": "a link that leads nowhere",
        **dict.fromkeys(("linked", "pipe.png"), "a pipe, socket or device"),
    }


def test_folders_behind_links_are_read_once(tmp_path, touch):
    touch(tmp_path / "elsewhere", "a.png", "b.png")
    root = touch(tmp_path / "root", "c.png", "real/d.png")
    (root / "also").symlink_to(root / "real")
    (root / "circle").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    films, skipped = walked(root)
    assert films == ["c.png", "linked/a.png", "linked/b.png", "real/d.png"]
    assert skipped == dict.fromkeys(("also", "circle"), "a link to a folder that is read already")


def test_folders_and_files_that_cannot_be_read_are_named(tmp_path, touch, monkeypatch):
    touch(tmp_path, "a.png", "b.png", "closed/c.png")
    scan, opened = os.scandir, type(tmp_path).open

    def refuse_folder(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def refuse_file(path, *arguments, **options):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", refuse_folder)
    monkeypatch.setattr(type(tmp_path), "open", refuse_file)
    films, skipped = walked(tmp_path)
    assert films == ["a.png"]
    assert skipped == {
        "b.png": "cannot be read: Permission denied",
        "closed": "a folder that cannot be read: Permission denied",
    }


def test_a_name_that_is_no_text_is_skipped_and_can_be_shown(tmp_path, touch):
    touch(tmp_path, "a.png")
    try:
        with open(os.path.join(os.fsencode(tmp_path), b"latin\xe9.png"), "wb") as file:
            file.write((tmp_path / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    films, [skipped] = walk_films(tmp_path)
    assert [film.path.name for film in films] == ["a.png"]
    assert str(skipped).endswith("latin\\xe9.png: its path is not UTF-8 text")


def test_folders_set_apart_and_hidden_files(tmp_path, touch):
    touch(tmp_path, "a.png", "done/b.png", "c/done/d.png", ".e/f.png", "__MACOSX/._a.png", ".g.png")
    seen = []
    films, skipped = walked(tmp_path, apart=("done",), seen=seen.append)
    assert films == ["a.png", "c/done/d.png"]
    assert set(skipped.values()) == {"a hidden or system file"} and len(skipped) == 3
    assert len(seen) == 5


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="must be an existing folder. Received: .*nowhere"):
        walk_films(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.png", "a"), ("a.b.jpeg", "a.b"), ("A.IMA", "A"), ("DX.1.2.3", "DX.1.2.3"), ("IM1", "IM1")],
)
def test_stems(name, stem):
    assert stem_of(name) == stem
