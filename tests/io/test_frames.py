"""Multi-frame files: each film on its own, one that is named, and all of them through."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from xraysr.errors import BadImageError, UserError
from xraysr.io import Radiograph, read, read_frames, strip_writer, write

SaveDicom = Callable[..., Path]

WORDS = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
FRAMES = np.random.default_rng(0).integers(0, 4096, (3, 33, 40)).astype(np.uint16)


@pytest.fixture
def frames(save_dicom: SaveDicom) -> Path:
    groups = []
    for number in (1, 2, 3):
        group = Dataset()
        group.ImageComments = f"frame {number}"
        groups.append(group)
    tags = {"FrameIncrementPointer": 0x00182001, "PageNumberVector": [1, 2, 3]}
    return save_dicom(FRAMES, SOPClassUID=WORDS, PerFrameFunctionalGroupsSequence=groups, **tags)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_every_frame_in_order(frames: Path, syntax: str | None) -> None:
    if syntax is not None:
        if syntax != RLELossless:
            pytest.importorskip("openjpeg" if syntax == JPEG2000Lossless else "jpeg_ls")
        film = dcmread(frames)
        film.compress(syntax)
        film.save_as(frames)
    films = list(read_frames(frames))
    assert [film.frame for film in films] == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal([film.stored() for film in films], FRAMES)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(read(frames, frame=number).stored(), FRAMES[number - 1])


def test_a_film_alone_is_one_frame(save_dicom: SaveDicom, tmp_path: Path) -> None:
    path = save_dicom(FRAMES[0])
    (film,) = read_frames(path)
    assert film.frame == (1, 1)
    np.testing.assert_array_equal(film.stored(), read(path, frame=1).stored())
    write(tmp_path / "a.png", Radiograph(np.zeros((2, 3), np.float32)))
    (picture,) = read_frames(tmp_path / "a.png")
    assert picture.frame == (1, 1) and read(tmp_path / "a.png", frame=1).size == (2, 3)
    with pytest.raises(UserError, match=r"a\.png: frame must be 1.*Received: 2"):
        read(tmp_path / "a.png", frame=2)


def test_several_need_a_name(frames: Path) -> None:
    with pytest.raises(BadImageError, match=r"film\.dcm: holds 3 frames.* frame 1 to 3"):
        read(frames)
    for number in (0, 4, -1):
        with pytest.raises(UserError, match=f"frame must be 1 to 3. Received: {number}"):
            read(frames, frame=number)


def test_frames_are_read_when_they_are_asked_for(frames: Path) -> None:
    film = dcmread(frames)
    film.compress(RLELossless)
    film.save_as(frames)
    data, segments = frames.read_bytes(), struct.pack("<II", 2, 64)  # of each frame's header
    assert data.count(segments) == 3
    last = data.rindex(segments)
    frames.write_bytes(data[:last] + struct.pack("<II", 9, 64) + data[last + 8 :])
    films = read_frames(frames)
    np.testing.assert_array_equal(next(films).stored(), FRAMES[0])
    np.testing.assert_array_equal(next(films).stored(), FRAMES[1])
    with pytest.raises(BadImageError, match=r"film\.dcm: "):
        next(films)


@pytest.mark.parametrize("count", ["4", "2"])
def test_a_count_that_is_wrong(frames: Path, count: str) -> None:
    film = dcmread(frames)
    film.NumberOfFrames = count
    film.save_as(frames)
    with pytest.raises(BadImageError, match=r"film\.dcm: .*(less than expected|enough for 3)"):
        next(read_frames(frames))


@pytest.mark.parametrize("count", ["-2", "many"])
def test_a_count_that_is_none(save_dicom: SaveDicom, count: str) -> None:
    path = save_dicom(FRAMES, NumberOfFrames="37")
    path.write_bytes(path.read_bytes().replace(b"\x02\x0037", b"\x02\x00" + count.encode()[:2]))
    with pytest.raises(BadImageError, match=r"film\.dcm: "):
        next(read_frames(path))


def test_all_of_them_go_through(frames: Path, tmp_path: Path) -> None:
    films = read_frames(frames)
    first = next(films)
    out = tmp_path / "out.dcm"
    with strip_writer(out, (66, 80), first, frames=first.frame[1]) as writer:
        for film in (first, *films):
            rows = film.pixels.repeat(2, 0).repeat(2, 1)
            writer.write(rows[:5])
            writer.write(rows[5:])
    after = dcmread(out)
    assert (after.SOPClassUID, after.NumberOfFrames, after.Rows) == (WORDS, 3, 66)
    np.testing.assert_array_equal(after.pixel_array, FRAMES.repeat(2, 1).repeat(2, 2))
    assert list(after.PageNumberVector) == [1, 2, 3]
    assert len(after.PerFrameFunctionalGroupsSequence) == 3
    assert "ReferencedFrameNumber" not in after.SourceImageSequence[0]
    assert [film.frame for film in read_frames(out)] == [(1, 3), (2, 3), (3, 3)]


def test_one_of_them_becomes_a_film(frames: Path, tmp_path: Path) -> None:
    write(tmp_path / "out.dcm", read(frames, frame=2))
    after = dcmread(tmp_path / "out.dcm")
    assert after.NumberOfFrames == 1
    np.testing.assert_array_equal(after.pixel_array, FRAMES[1])
    assert after.SourceImageSequence[0].ReferencedFrameNumber == 2
    (group,) = after.PerFrameFunctionalGroupsSequence
    assert group.ImageComments == "frame 2"
    assert "PageNumberVector" not in after and "FrameIncrementPointer" not in after


def test_padding_of_several_films_is_black_and_no_longer_padding(
    save_dicom: SaveDicom, tmp_path: Path
) -> None:
    stored = FRAMES.copy()
    stored[:, :3] = 0
    films = list(read_frames(save_dicom(stored, ImplicitVRLittleEndian, PixelPaddingValue=0)))
    with strip_writer(tmp_path / "out.dcm", films[0].size, films[0], frames=3) as writer:
        for film in films:
            writer.write(film.pixels)
    after = dcmread(tmp_path / "out.dcm")
    assert (after.pixel_array[:, :3] == 1).all()  # the darkest that is no padding


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_other_formats_hold_one(frames: Path, tmp_path: Path, suffix: str) -> None:
    first = next(read_frames(frames))
    path = tmp_path / f"a{suffix}"
    with pytest.raises(UserError, match="would hold one film. Received: 3 frames"):
        strip_writer(path, first.size, first, frames=3).__enter__()
    write(path, first)
    assert read(path).size == first.size


def test_frames_that_the_source_does_not_have(save_dicom: SaveDicom, tmp_path: Path) -> None:
    film = read(save_dicom(FRAMES[0]))
    with pytest.raises(UserError, match="has 1 frames. Received: 2"):
        strip_writer(tmp_path / "a.dcm", film.size, film, frames=2).__enter__()
