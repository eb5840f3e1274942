from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from xraysr.errors import UserError
from xraysr.evaluation.metrics import lr_consistency
from xraysr.files import locked
from xraysr.films.walk import Skipped
from xraysr.io import Notice, Radiograph, read, read_frames, write
from xraysr.io.voi import display
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load
from xraysr.upscale.batch import Summary, _lock_of, upscale_files
from xraysr.upscale.files import Enlarged, enlarge_file
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.outputs import made_by

SECONDARY_CAPTURE_WORD = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word


@pytest.fixture
def upscaler(repeat) -> Upscaler:
    return Upscaler(repeat(2))


def save(path: Path, seed: int = 0, bits: int = 8, size: tuple[int, int] = (5, 7)) -> Path:
    """A film of noise; returns its path."""
    pixels = np.random.default_rng(seed).random(size, dtype=np.float32)
    write(path, Radiograph(pixels, bits))
    return path


def spoil(folder: Path) -> list[Path]:
    """A zero-byte file, text and half a JPEG, all named as images."""
    names = ("empty.png", "text.png", "half.jpg")
    empty, text, half = (folder / name for name in names)
    empty.touch()
    text.write_text("not an image")
    save(half, size=(64, 64))
    half.write_bytes(half.read_bytes()[:600])
    return [empty, text, half]


def written(folder: Path) -> list[str]:
    """Every file below `folder`, hidden ones included."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def is_twice(target: Path, source: Path) -> bool:
    return np.array_equal(read(target).stored()[::2, 1::2], read(source).stored())


@pytest.mark.parametrize("name", ["sr.png", "sr.tif", "sr.TIFF", "new/folder/sr.png"])
def test_one_file_to_one_file(upscaler, tmp_path, name):
    source = save(tmp_path / "film.png")
    summary = upscale_files(upscaler, [source], tmp_path / name)
    assert ([each.target for each in summary.done], summary.skipped) == ([tmp_path / name], [])
    assert is_twice(tmp_path / name, source)
    assert written(tmp_path) == sorted(["film.png", name])


@pytest.mark.parametrize("exists", [True, False])
def test_one_file_to_a_folder(upscaler, tmp_path, exists):
    source, out = save(tmp_path / "film.tif"), tmp_path / "out"
    if exists:
        out.mkdir()
    upscale_files(upscaler, [source], out)
    assert is_twice(out / "film.png", source)


def test_several_files_to_a_folder(upscaler, tmp_path):
    sources = [save(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.tif"))]
    upscale_files(upscaler, sources, tmp_path / "out")
    assert is_twice(tmp_path / "out" / "a.png", sources[0])
    assert is_twice(tmp_path / "out" / "b.png", sources[1])


def test_a_folder_keeps_its_structure(upscaler, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    names = ["top.png", "train/NORMAL/one.png", "train/PNEUMONIA/one.png"]
    for seed, name in enumerate(names):
        save(films / name, seed)
    upscale_files(upscaler, [films], out)
    assert written(out) == names
    assert all(is_twice(out / name, films / name) for name in names)


def test_what_is_no_film_of_a_folder_is_left_alone_and_named(upscaler, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    save(films / "film.png")
    save(films / ".film.png")
    (films / "folder.png").mkdir()
    (films / "notes.txt").write_text("notes")
    (films / "empty.png").touch()
    Image.new("L", (4, 4)).save(films / "photo.bmp")
    summary = upscale_files(upscaler, [films], out)
    assert summary.skipped == []
    assert written(out) == ["film.png"]
    said = "\n".join(summary.remarks())
    for name, reason in (("notes.txt", "text"), ("empty.png", "empty"), ("photo.bmp", "BMP")):
        assert re.search(f"left out: .*{name}: .*{reason}", said)


def test_films_of_one_name_do_not_replace_each_other(upscaler, tmp_path):
    sources = [
        save(tmp_path / "films" / name, seed) for seed, name in enumerate(["a.png", "a.tif"])
    ]
    sources.append(save(tmp_path / "more" / "b.png", 2))
    sources.append(save(tmp_path / "other" / "b.png", 3))
    out = tmp_path / "out"
    upscale_files(upscaler, [tmp_path / "films", *sources[2:]], out)
    assert written(out) == ["a.png", "a.tif.png", "b-2.png", "b.png"]
    for name, source in zip(("a.png", "a.tif.png", "b.png", "b-2.png"), sources, strict=True):
        assert is_twice(out / name, source)


def test_bad_films_are_named_and_the_others_written(upscaler, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    for name in ("a.png", "z.png"):
        save(films / name)
    bad = spoil(films)
    summary = upscale_files(upscaler, [films], out)
    assert written(out) == ["a.png", "z.png"]
    assert len(summary.skipped) == 1 and len(summary.left_out) == 2
    said = [*summary.skipped, *map(str, summary.left_out)]
    for path, reason in zip(bad, ("empty", "text", "truncated"), strict=True):
        assert any(str(path) in line and reason in line for line in said)


def test_nothing_but_bad_films_is_an_error(upscaler, tmp_path):
    bad = spoil(tmp_path)
    with pytest.raises(UserError, match=r"Nothing was enlarged: .*empty.png.*text.png.*half.jpg"):
        upscale_files(upscaler, bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_existing_output_is_refused_before_any_is_written(upscaler, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    for name in ("a.png", "b.png"):
        save(films / name)
    before = save(out / "b.png", seed=9).read_bytes()
    with pytest.raises(UserError, match=r"out/b.png exists. Pass overwrite=True"):
        upscale_files(upscaler, [films], out)
    assert written(out) == ["b.png"]
    assert (out / "b.png").read_bytes() == before
    upscale_files(upscaler, [films], out, overwrite=True)
    assert is_twice(out / "b.png", films / "b.png")


def test_an_original_is_never_replaced(upscaler, tmp_path):
    source = save(tmp_path / "films" / "a.png")
    before = source.read_bytes()
    for out in (source, source.parent):
        with pytest.raises(UserError, match="would replace an original film"):
            upscale_files(upscaler, [source], out, overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize("out", [".", "sr"])
def test_the_output_must_not_lie_among_the_films(upscaler, tmp_path, out):
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match="must not lie in the folder of films"):
        upscale_files(upscaler, [tmp_path], tmp_path / out, overwrite=True)
    assert written(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", ["sr.bmp", "sr.gif"])
def test_a_format_that_cannot_be_written_is_refused(upscaler, tmp_path, name):
    with pytest.raises(UserError, match=r"\.tif"):
        upscale_files(upscaler, [save(tmp_path / "a.png")], tmp_path / name)
    assert written(tmp_path) == ["a.png"]


def test_several_films_do_not_fit_into_a_file(upscaler, tmp_path):
    sources = [save(tmp_path / "a.png"), save(tmp_path / "b.png")]
    file = tmp_path / "file"
    file.write_text("kept")
    for out in (tmp_path / "sr.png", file):
        with pytest.raises(UserError, match="Several films need a folder"):
            upscale_files(upscaler, sources, out)
    assert file.read_text() == "kept"


def test_a_missing_source_is_named(upscaler, tmp_path):
    sources = [save(tmp_path / "a.png"), tmp_path / "b.png"]
    with pytest.raises(UserError, match="No such file or folder: .*b.png"):
        upscale_files(upscaler, sources, tmp_path / "out")
    assert written(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", [None, "notes.txt"])
def test_a_folder_without_films(upscaler, tmp_path, name):
    films = tmp_path / "films"
    films.mkdir()
    if name:
        (films / name).write_text("notes")
    with pytest.raises(UserError, match=f"No films in .*films: .*{name or 'it is empty'}"):
        upscale_files(upscaler, [films], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file/sr.png", "file/below"])
def test_an_output_below_a_file_cannot_be_written(upscaler, tmp_path, out):
    source = save(tmp_path / "a.png")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match="Cannot create the folder .*file"):
        upscale_files(upscaler, [source], tmp_path / out)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_depth_of_a_file_is_kept(upscaler, tmp_path, bits, dtype, suffix):
    source, target = save(tmp_path / "a.png", bits=bits), tmp_path / f"sr{suffix}"
    upscale_files(upscaler, [source], target)
    with Image.open(source) as before, Image.open(target) as after:
        stored, enlarged = np.asarray(before), np.asarray(after)
    assert enlarged.dtype == dtype
    np.testing.assert_array_equal(enlarged[::2, ::2], stored)


def test_twelve_bits_fit_into_sixteen(upscaler, tmp_path):
    source = get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False)
    target = tmp_path / "sr.tif"
    upscale_files(upscaler, [Path(source)], target)
    film, enlarged = read(source), read(target)
    assert (film.bits, enlarged.bits) == (12, 16)
    # Two 12-bit levels lie 16 apart in 16 bits, so each can be told again.
    again = np.round(enlarged.pixels[::2, ::2] * 4095).astype(np.uint16)
    np.testing.assert_array_equal(again, film.stored())


def test_a_dicom_film_becomes_a_picture_of_its_window(upscaler, tmp_path):
    source = get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False)
    upscale_files(upscaler, [Path(source)], tmp_path / "6154.png")
    film, enlarged = read(source), read(tmp_path / "6154.png")
    assert enlarged.size == (2 * film.size[0], 2 * film.size[1])
    np.testing.assert_allclose(enlarged.pixels[::2, ::2], display(film).pixels, atol=1e-5)


def test_a_name_of_dots_is_kept_whole(upscaler, tmp_path):
    source = get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False)
    names = [tmp_path / "1.2.840.7", tmp_path / "1.2.840.8"]
    for path in names:
        path.write_bytes(Path(source).read_bytes())
    upscale_files(upscaler, names, tmp_path / "out")
    assert written(tmp_path / "out") == ["1.2.840.7.dcm", "1.2.840.8.dcm"]


def study(folder: Path) -> Path:
    """A study as a PACS hands it out: DICOM files without suffix, and a directory of them."""
    source = Path(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))
    for name in ("CR1/1.2.840.7", "CR2/1.2.840.8"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    shutil.copy(source, folder / "DICOMDIR")
    save(folder / "photo.png")
    (folder / "README").write_text("notes")
    return folder


def test_a_folder_of_studies_stays_dicom(upscaler, tmp_path):
    out = tmp_path / "out"
    upscale_files(upscaler, [study(tmp_path / "study")], out)
    assert written(out) == ["CR1/1.2.840.7.dcm", "CR2/1.2.840.8.dcm", "photo.png"]
    before, after = (
        read(tmp_path / path) for path in ("study/CR1/1.2.840.7", "out/CR1/1.2.840.7.dcm")
    )
    assert after.header.SOPClassUID == before.header.SOPClassUID
    assert after.header.PatientID == before.header.PatientID
    assert after.bits == before.bits == 12
    np.testing.assert_array_equal(after.stored()[::2, ::2], before.stored())
    assert after.spacing is None or after.spacing[0] == pytest.approx(before.spacing[0] / 2)


def test_it_goes_on_where_it_was_stopped(upscaler, tmp_path):
    films, out = tmp_path / "films", tmp_path / "out"
    save(films / "b.png", 1)
    upscale_files(upscaler, [films], out)
    kept = (out / "b.png").stat().st_mtime_ns
    for seed, name in enumerate(("a.png", "c.png")):
        save(films / name, 5 + seed)
    with pytest.raises(UserError, match="exists"):
        upscale_files(upscaler, [films], out)
    summary = upscale_files(upscaler, [films], out, resume=True)
    assert summary.kept == [out / "b.png"]
    assert [each.target for each in summary.done] == [out / "a.png", out / "c.png"]
    assert (out / "b.png").stat().st_mtime_ns == kept
    assert upscale_files(upscaler, [films], out, resume=True).done == []
    assert written(out) == ["a.png", "b.png", "c.png"]


def multi_frame(path: Path, frames: int) -> Path:
    """A multi-frame secondary capture of noise, 12 bits."""
    film = dcmread(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE_WORD
    film.NumberOfFrames = frames
    size = (frames, film.Rows, film.Columns)
    film.PixelData = np.random.default_rng(0).integers(4096, size=size, dtype="<u2").tobytes()
    film.save_as(path)
    return path


def test_all_frames_go_through(upscaler, tmp_path):
    source = multi_frame(tmp_path / "lr.dcm", 3)
    upscale_files(upscaler, [source], tmp_path / "sr.dcm")
    before, after = list(read_frames(source)), list(read_frames(tmp_path / "sr.dcm"))
    assert len(before) == len(after) > 1
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(other.stored()[::2, ::2], one.stored())


def test_the_consistency_is_that_of_what_was_written(trained, tmp_path):
    upscaler = Upscaler(load(trained["keras"]).runtime, tile=64)
    source = tmp_path / "film.tif"
    write(source, Radiograph(make_phantom(3, 128).pixels.astype(np.float32) / 4095, bits=16))
    summary = upscale_files(upscaler, [source], tmp_path / "sr.tif")
    film, sr = read(source), read(tmp_path / "sr.tif")
    assert summary.done[0].lr_consistency[0] == pytest.approx(
        lr_consistency(sr.pixels, film.pixels), abs=0.01
    )
    assert summary.lines()[0] == (
        f"{tmp_path / 'sr.tif'}: LR-consistency {lr_consistency(sr.pixels, film.pixels):.1f} dB"
    )


def test_many_films_are_summed_up_with_the_worst_by_name(tmp_path):
    noisy = Notice("range-12-in-16", "12 bits in 16")
    done = [
        Enlarged(Path(f"{n}.tif"), tmp_path / f"{n}.png", (), (40.0 + n, 90.0), (noisy,), (), 1.0)
        for n in range(20)
    ]
    left_out = [Skipped(Path(f"{n}.txt"), "text, which is not read") for n in range(13)]
    summary = Summary(done, kept=[tmp_path / "x.png"], left_out=left_out)
    line, kept, notices = summary.lines()
    assert line.startswith("20 films, LR-consistency 49.5 dB on average, 40.0 dB at worst")
    assert "0.png" in line and kept == "1 film was there before"
    assert notices == "notices: 20 range-12-in-16"
    remarks = summary.remarks()
    assert len(remarks) == 20 + 10 + 1
    assert remarks[0] == "0.tif: notice range-12-in-16: 12 bits in 16"
    assert remarks[20] == "left out: 0.txt: text, which is not read"
    assert remarks[-1] == "also left out: 3 text, which is not read"


def test_real_dicom_films(upscaler, tmp_path, shared_data):
    films = [shared_data / "dicom" / f"rsna_cr_monochrome{n}.dcm" for n in (1, 2)]
    upscale_files(upscaler, films, tmp_path)
    one, two = (read(tmp_path / film.name) for film in films)
    assert (one.size, one.bits) == ((2048, 2048), 8)
    # The twins carry the same stored pixels under opposite labels.
    np.testing.assert_allclose(one.pixels, 1 - two.pixels, atol=1 / 255)


FILMS = [("a.png", "a.jpg"), ("a.jpg", "a.png"), ("IM1", "IM1.dcm"), ("IM1.dcm", "IM1")]


def film_of(path: Path, seed: int) -> Path:
    """A film of noise at `path`, DICOM where it has no other suffix."""
    if path.suffix in (".png", ".jpg"):
        return save(path, seed)
    path.parent.mkdir(exist_ok=True)
    save(path.parent.parent / "new.dcm", seed, bits=12).rename(path)
    return path


@pytest.mark.parametrize("names", FILMS)
@pytest.mark.parametrize("order", ["together", "added later"])
def test_films_of_one_stem_never_swap_or_vanish(upscaler, tmp_path, names, order):
    films, out = tmp_path / "films", tmp_path / "out"
    first = film_of(films / names[0], 1)
    if order == "added later":
        upscale_files(upscaler, [films], out)
    second = film_of(films / names[1], 2)
    for _ in range(2):
        summary = upscale_files(upscaler, [films], out, resume=True)
        assert len(summary.done) + len(summary.kept) == 2
    outputs = [out / name for name in written(out)]
    assert len(outputs) == 2
    for source in (first, second):
        assert sum(is_twice(target, source) for target in outputs) == 1
    again = upscale_files(upscaler, [films], out, overwrite=True)
    for each in again.done:
        assert is_twice(each.target, each.source)
    assert [out / name for name in written(out)] == outputs


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".dcm"])
def test_resume_keeps_only_what_this_model_made_with_these_options(tmp_path, repeat, suffix):
    source, target = save(tmp_path / "film.png"), tmp_path / f"sr{suffix}"
    model, other = repeat(2), repeat(2)
    other.spec = replace(other.spec, name="other", weights_sha256="ff")
    upscale_files(Upscaler(model), [source], target)
    before = target.read_bytes()
    assert upscale_files(Upscaler(model), [source], target, resume=True).kept == [target]
    for upscaler, options, words in (
        (Upscaler(other), None, "was made by model repeat .*; asked for is model other"),
        (Upscaler(model), UpscaleOptions(faithful=True), "was made .* asked for is .*, faithful"),
        (Upscaler(model), UpscaleOptions(bits=8), "was made .* asked for is .*, bits 8"),
    ):
        with pytest.raises(UserError, match=f"sr{suffix} {words}.*overwrite=True"):
            upscale_files(upscaler, [source], target, options, resume=True)
    assert target.read_bytes() == before
    upscale_files(Upscaler(other), [source], target, resume=True, overwrite=True)
    assert made_by(target).maker == "model other (weights sha256 ff), x2"


def test_resume_refuses_what_it_did_not_make_or_of_another_film(upscaler, tmp_path):
    source, target = save(tmp_path / "film.png"), tmp_path / "out" / "film.png"
    save(target, seed=4)
    with pytest.raises(UserError, match="film.png does not say what made it"):
        upscale_files(upscaler, [source], target.parent, resume=True)
    target.unlink()
    upscale_files(upscaler, [source], target.parent)
    save(tmp_path / "new.png", seed=9).replace(source)
    with pytest.raises(UserError, match="was made of another film than .*, or before that changed"):
        upscale_files(upscaler, [source], target.parent, resume=True)
    upscale_files(upscaler, [source], target.parent, overwrite=True)
    assert is_twice(target, source)


SHARE = """
import os, signal, sys, time
from pathlib import Path
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.batch import upscale_files

class Slow:
    spec = ModelSpec("slow", 2, receptive_radius=1, weights_sha256="")
    def run(self, batch):
        with open(sys.argv[3], "a") as file:
            file.write(f"{os.getpid()}\\n")
        if len(sys.argv) > 4:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return batch.repeat(2, axis=1).repeat(2, axis=2)

summary = upscale_files(Upscaler(Slow()), [Path(sys.argv[1])], Path(sys.argv[2]), resume=True)
assert len(summary.done) + len(summary.kept) == 12
"""


def test_processes_share_the_films_and_do_what_a_killed_one_left(tmp_path):
    """Each film is enlarged once, but for the one that the killed process had in hand."""
    films, out, log = (tmp_path / name for name in ("films", "out", "log"))
    for number in range(12):
        save(films / f"{number}.png", number)
    words = [sys.executable, "-c", SHARE, str(films), str(out), str(log)]
    assert subprocess.run([*words, "killed"]).returncode == -signal.SIGKILL
    several = [subprocess.Popen(words) for _ in range(2)]
    assert [each.wait() for each in several] == [0, 0]
    workers = log.read_text().split()
    assert len(workers) == 13
    assert sorted(name for name in written(out) if name[0] != ".") == sorted(
        f"{number}.png" for number in range(12)
    )
    assert not [name for name in os.listdir(out) if name.endswith(".lock")]
    for number in range(12):
        assert is_twice(out / f"{number}.png", films / f"{number}.png")


def test_a_film_that_goes_bad_while_another_process_has_it_stops_no_other(
    upscaler, tmp_path, monkeypatch
):
    films, out = tmp_path / "films", tmp_path / "out"
    for name in ("a.png", "b.png"):
        save(films / name)
    with ExitStack() as other_process:
        other_process.enter_context(locked(_lock_of(out / "a.png")))

        def meanwhile(*args, **options):
            (films / "a.png").write_bytes(b"")
            other_process.close()
            return enlarge_file(*args, **options)

        monkeypatch.setattr("xraysr.upscale.batch.enlarge_file", meanwhile)
        summary = upscale_files(upscaler, [films], out, resume=True)
    assert [each.target.name for each in summary.done] == ["b.png"]
    assert len(summary.skipped) == 1 and str(films / "a.png") in summary.skipped[0]
    assert written(out) == ["b.png"]


def test_a_study_with_all_that_comes_along_goes_through(upscaler, tmp_path):
    """CT slices and reports beside the films are named, and the films enlarged."""
    films = study(tmp_path / "study")
    for name, kind, modality in (
        ("CT1", "1.2.840.10008.5.1.4.1.1.2", "CT"),
        ("SR1", "1.2.840.10008.5.1.4.1.1.88.22", "SR"),
    ):
        other = dcmread(films / "CR1" / "1.2.840.7")
        other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = kind
        other.Modality = modality
        other.save_as(films / name)
    summary = upscale_files(upscaler, [films], tmp_path / "out")
    assert summary.skipped == []
    assert written(tmp_path / "out") == ["CR1/1.2.840.7.dcm", "CR2/1.2.840.8.dcm", "photo.png"]
    assert {each.path.name for each in summary.left_out} == {"CT1", "SR1", "DICOMDIR", "README"}
