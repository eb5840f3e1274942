"""`prepare`: what it writes, that it resumes, and that nothing a user does breaks a folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xraysr.data.prepare as prepare_module
from xraysr.data.fit import load_hr
from xraysr.data.pipeline import PairCache, film_pairs
from xraysr.data.prepare import prepare
from xraysr.degradation import AS_FOUND, DEFAULT, NAMED, Degradation, degradation_name
from xraysr.errors import UserError
from xraysr.films.index import index_films, index_pair_folder
from xraysr.films.manifest import JOURNAL, load_manifest
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade
from xraysr.pair import Pair

PAIRS = ("8:32", "16:64")
ROOT = Path(__file__).resolve().parents[2]


def draw(path: Path, size: tuple[int, int] = (80, 90), bits: int = 8) -> None:
    """Writes a smooth film with noise, seeded by its name, as a grey PNG or JPEG."""
    rng = np.random.default_rng(sum(path.name.encode()))
    rows, columns = np.indices(size) / max(size)
    grey = 0.5 + 0.3 * np.sin(7 * rows) * np.cos(9 * columns) + 0.05 * rng.standard_normal(size)
    levels = np.clip(grey, 0, 1) * ((1 << bits) - 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.astype(np.uint8 if bits == 8 else np.uint16)).save(path)


@pytest.fixture
def films(tmp_path) -> Path:
    """30 films in train and 3 in test, one of them in 16 bits, one a JPEG."""
    root = tmp_path / "films"
    for n in range(30):
        draw(root / "train" / ("NORMAL", "PNEUMONIA")[n % 2] / f"person{n + 40}_virus_{n}.png")
    draw(root / "test" / "NORMAL" / "IM-0001-0001.png")
    draw(root / "test" / "NORMAL" / "IM-0002-0001.png", bits=16)
    draw(root / "test" / "PNEUMONIA" / "person99_virus_1.jpeg")
    return root


def tree(root: Path) -> dict[str, str]:
    """Every file below `root`, hidden ones too, with the hash of its bytes."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def run(src: Path, dst: Path, pairs=PAIRS, **options):
    return prepare(src, dst, pairs, **{"workers": 1, "progress": False, **options})


def test_layout_sizes_depth_and_manifest(films, tmp_path):
    manifest = run(films, tmp_path / "out")
    files = set(tree(tmp_path / "out"))
    assert len(files) == 33 * 2 * 2 + 1
    assert {
        "manifest.json",
        "8x32/train/lr/person43_virus_3.png",
        "8x32/train/hr/person43_virus_3.png",
        "16x64/test/hr/person99_virus_1.png",
    } <= files
    for kind, size in (("lr", (16, 16)), ("hr", (64, 64))):
        path = tmp_path / "out" / "16x64" / "test" / kind / "IM-0002-0001.png"
        assert read(path).size == size and read(path).bits == 16
        assert read(path.with_name("IM-0001-0001.png")).bits == 8
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert content["settings"]["pairs"] == ["8x32", "16x64"]
    [film] = [f for f in content["films"] if f["name"] == "IM-0001-0001"]
    source = films / "test" / "NORMAL" / "IM-0001-0001.png"
    assert film == {
        "source": "test/NORMAL/IM-0001-0001.png",
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "name": "IM-0001-0001",
        "patient": "IM-0001",
        "label": "NORMAL",
        "split": "test",
        "bits": 8,
        "pairs": ["8x32", "16x64"],
        "left_out": {},
        "lr_crc32": {
            pair: zlib.crc32(
                read(tmp_path / "out" / pair / "test" / "lr" / "IM-0001-0001.png")
                .stored()
                .astype("<u2")
                .tobytes()
            )
            for pair in ("8x32", "16x64")
        },
    }
    assert str(tmp_path) not in json.dumps(content)
    lines = manifest.summary().splitlines()
    assert lines[0] == "8x32: 33 films (30 train, 3 test)" and lines[2] == f"LR: {DEFAULT}"


def test_pair_folders_read_back_as_on_the_fly(films, tmp_path):
    run(films, tmp_path / "out")
    pair = Pair.parse("16:64")
    on_the_fly = {film.name: film for film in index_films(films).films}
    prepared = {film.name: film for film in index_pair_folder(tmp_path / "out", pair).films}
    assert set(prepared) == set(on_the_fly)
    assert index_pair_folder(tmp_path / "out", pair).of("val")
    for name, film in prepared.items():
        source = on_the_fly[name]
        assert (film.patient, film.label, film.split) == (
            source.patient,
            source.label,
            source.split,
        )
        hr, bits = load_hr(source.path, pair.hr)
        np.testing.assert_array_equal(load_hr(film.path, pair.hr)[0], hr)
        lr = degrade(read(film.path).pixels, pair.lr, bits)
        np.testing.assert_array_equal(read(film.lr_path).stored(), np.round(lr * (2**bits - 1)))


NOISY = Degradation("box", quanta=0.02, noise=(0.01, 0.02))


@pytest.mark.parametrize("made", [NOISY, NAMED["robust"]])
def test_lr_by_a_degradation_is_that_of_the_pipeline_in_any_order(films, tmp_path, made):
    manifest = run(films, tmp_path / "out", degradation=made)
    run(films, tmp_path / "two", degradation=made, workers=2)
    assert tree(tmp_path / "out") == tree(tmp_path / "two")
    assert load_manifest(tmp_path / "out").settings["degradation"] == made.text
    assert f"LR: {made.text}" in manifest.summary()
    for text in PAIRS:
        pair = Pair.parse(text)
        prepared = index_pair_folder(tmp_path / "out", pair).films
        assert {film.degradation for film in prepared} == {made.text}
        sources = {film.name: film for film in index_films(films).films}
        on_the_fly = film_pairs([sources[f.name] for f in prepared], pair, "crop", [], made)
        for film, expected in zip(prepared, on_the_fly, strict=True):
            np.testing.assert_array_equal(read(film.lr_path).stored(), expected.lr[..., 0])
            assert np.ptp(expected.lr) > 0


def test_a_prepared_degradation_is_said_and_goes_on(films, tmp_path):
    dst = tmp_path / "out"
    run(films, dst, degradation=NOISY)
    before = tree(dst)
    next(dst.glob("8x32/train/lr/*.png")).unlink()
    run(films, dst, degradation=NOISY)
    assert tree(dst) == before
    pair = Pair.parse("16:64")
    assert PairCache.load(index_pair_folder(dst, pair).films, pair).degradation == NOISY.text
    own = index_pair_folder(dst, pair).films[0].lr_path
    write(own, Radiograph(1 - read(own).pixels, read(own).bits), overwrite=True)
    found = PairCache.load(index_pair_folder(dst, pair).films, pair).degradation
    assert found == f"{AS_FOUND} and {NOISY.text}"


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (None, NAMED["cr"]),
        (NAMED["cr"], None),
        (Degradation(mtf=((0, 1), (0.5, 0.5))), Degradation(mtf=((0, 1), (0.5, 0.4)))),
        (Degradation(grid=0.1), Degradation(grid=0.1, grid_period=5.0)),
    ],
)
def test_another_degradation_is_refused_by_name(films, tmp_path, first, other):
    run(films / "test", tmp_path / "out", ["8:32"], degradation=first)
    said = f"degradation was {degradation_name(first)}, now {degradation_name(other)}. Name another"
    with pytest.raises(UserError, match=re.escape(said)):
        run(films / "test", tmp_path / "out", ["8:32"], degradation=other)


def test_lanczos_by_name_is_the_default(films, tmp_path):
    run(films, tmp_path / "out", ["8:32"])
    before = tree(tmp_path / "out")
    run(films, tmp_path / "out", ["8:32"], degradation=NAMED["lanczos"])
    assert tree(tmp_path / "out") == before


def test_real_dicom_films_of_every_depth_read_back(shared_data, tmp_path):
    manifest = run(shared_data / "dicom", tmp_path / "out", ["32:128"])
    assert {film.bits for film in manifest.films} >= {8, 10}
    pair = Pair.parse("32:128")
    index = index_pair_folder(tmp_path / "out", pair)
    sources = {film.name: shared_data / "dicom" / film.source for film in manifest.films}
    assert len(index.films) == len(sources) > 0
    for film in index.films:
        np.testing.assert_array_equal(
            load_hr(film.path, pair.hr)[0], load_hr(sources[film.name], pair.hr)[0]
        )
    patients = {film.patient for film in index.films}
    assert patients == {film.patient for film in manifest.films}  # known from the manifest only


def test_running_twice_changes_nothing_and_redoes_nothing(films, tmp_path):
    run(films, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/*/*/*.png")}
    run(films, tmp_path / "out")
    assert tree(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in times}
    run(films, tmp_path / "other")
    assert tree(tmp_path / "other") == before


def test_workers_write_the_same_bytes_in_any_order(films, tmp_path):
    run(films, tmp_path / "one")
    run(films, tmp_path / "two", workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_what_changed_is_done_again(films, tmp_path):
    dst = tmp_path / "out"
    run(films, dst)
    draw(films / "test" / "NORMAL" / "IM-0003-0001.png")
    draw(films / "test" / "NORMAL" / "IM-0001-0001.png", size=(99, 99))
    (dst / "8x32" / "train" / "lr" / "person43_virus_3.png").unlink()
    run(films, dst)
    run(films, tmp_path / "fresh")
    assert tree(dst) == tree(tmp_path / "fresh")


def test_val_folders_and_new_splits_have_a_val_folder(films, tmp_path):
    run(films, tmp_path / "out", resplit=True)
    assert {p.name for p in (tmp_path / "out" / "8x32").iterdir()} == {"train", "val", "test"}
    index = index_pair_folder(tmp_path / "out", Pair.parse("8:32"))
    again = {film.name: film.split for film in index.films}
    assert again == {film.name: film.split for film in index_films(films, resplit=True).films}
    draw(films / "val" / "NORMAL" / "IM-0009-0001.png")
    run(films, tmp_path / "folders")
    assert len(list((tmp_path / "folders" / "8x32" / "val" / "hr").iterdir())) == 1


def test_bad_films_are_skipped_by_name_with_the_reason(films, tmp_path):
    bad = films / "train" / "NORMAL"
    (bad / "empty.png").touch()
    (bad / "text.png").write_text("not a film at all")
    whole = (films / "test" / "PNEUMONIA" / "person99_virus_1.jpeg").read_bytes()
    (bad / "cut.jpeg").write_bytes(whole[: len(whole) // 2])
    draw(bad / "dot.png", size=(1, 1))
    (bad / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (bad / "notes.txt").write_text("x")
    rgba = np.dstack([np.full((70, 70), 90, np.uint8)] * 3 + [np.full((70, 70), 255, np.uint8)])
    Image.fromarray(rgba).save(bad / "rgba.png")
    Image.fromarray(rgba[..., 0]).convert("P").save(bad / "palette.png")
    manifest = run(films, tmp_path / "out")
    skipped = {Path(path).name: reason for path, reason in manifest.skipped}
    assert set(skipped) == {
        "empty.png", "text.png", "cut.jpeg", "dot.png", "gone.png", "notes.txt",
    }  # fmt: skip
    assert "empty" in skipped["empty.png"]
    assert "text" in skipped["text.png"]
    assert "truncated" in skipped["cut.jpeg"]
    assert skipped["dot.png"] == "smaller than HR: 1x1 < 32x32; smaller than HR: 1x1 < 64x64"
    assert skipped["gone.png"] == "a link that leads nowhere"
    assert str(tmp_path) not in " ".join(skipped.values())
    assert len(manifest.films) == 35
    assert "skipped train/NORMAL/notes.txt: text, which is not read" in manifest.summary()
    assert "skipped 1 more, named in manifest.json" in manifest.summary()


def test_a_film_too_small_for_one_pair_serves_the_other(films, tmp_path):
    draw(films / "train" / "NORMAL" / "person500_virus_1.png", size=(40, 50))
    manifest = run(films, tmp_path / "out")
    [film] = [film for film in manifest.films if film.name == "person500_virus_1"]
    assert film.pairs == ("8x32",)
    assert film.left_out == {"16x64": "smaller than HR: 40x50 < 64x64"}
    assert (tmp_path / "out/8x32/train/lr/person500_virus_1.png").exists()
    assert not (tmp_path / "out/16x64/train/lr/person500_virus_1.png").exists()
    assert "left out train/NORMAL/person500_virus_1.png: smaller" in manifest.summary()


def test_no_usable_film_is_an_error_with_reasons(tmp_path):
    for name in ("a", "b", "c"):
        draw(tmp_path / "films" / f"{name}.png", size=(20, 20))
    with pytest.raises(UserError, match=r"None of the 3 films .*a\.png: smaller than HR: 20x20"):
        run(tmp_path / "films", tmp_path / "out")
    assert not (tmp_path / "out" / JOURNAL).exists()


def test_other_settings_are_refused_unless_overwriting(films, tmp_path):
    dst = tmp_path / "out"
    run(films, dst)
    before = tree(dst)
    with pytest.raises(
        UserError, match=r"prepared differently: fit was crop, now pad.*pass overwri"
    ):
        run(films, dst, fit="pad")
    with pytest.raises(UserError, match=r"pairs was \['8x32', '16x64'\], now \['16x64'\]"):
        run(films, dst, ["16:64"])
    assert tree(dst) == before
    run(films, dst, ["16:64"], fit="pad", overwrite=True)
    run(films, tmp_path / "fresh", ["16:64"], fit="pad")
    assert tree(dst) == tree(tmp_path / "fresh")
    assert not (dst / "8x32").exists()


def test_another_source_is_refused(films, tmp_path):
    run(films, tmp_path / "out")
    (films / "test" / "NORMAL" / "IM-0001-0001.png").unlink()
    with pytest.raises(UserError, match=r"1 of its films are not in the source.*IM-0001-0001"):
        run(films, tmp_path / "out")
    run(films, tmp_path / "out", overwrite=True)
    run(films, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_folders_of_someone_else_are_left_alone(films, tmp_path):
    foreign = tmp_path / "out" / "8x32" / "mine.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    with pytest.raises(UserError, match=r"8x32 exists\. Pass overwrite=True"):
        run(films, tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"8x32/mine.txt"}
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UserError, match="xraysr prepare did not write"):
        run(films, tmp_path / "else")


def test_wrong_arguments(films, tmp_path):
    with pytest.raises(UserError, match="at least one pair"):
        run(films, tmp_path / "out", [])
    with pytest.raises(UserError, match=r"fit must be one of .*'zoom'"):
        run(films, tmp_path / "out", fit="zoom")
    with pytest.raises(UserError, match=r"workers must be 1 or more\. Received: 0"):
        run(films, tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="must not lie in the data folder"):
        run(films, films / "out")
    run(films, tmp_path / "out")
    with pytest.raises(UserError, match="is a prepared pair folder"):
        run(tmp_path / "out" / "16x64", tmp_path / "again")
    with pytest.raises(UserError, match="holds prepared pairs"):
        run(tmp_path / "out", tmp_path / "again")


def test_an_output_that_cannot_be_written(films, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot create the folder .*file"):
        run(films, tmp_path / "file")
    with pytest.raises(UserError, match=r"Cannot create the folder .*file/out"):
        run(films, tmp_path / "file" / "out")


def test_a_full_disk_is_named(films, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare_module, "start_journal", full)
    with pytest.raises(UserError, match=r"Cannot write to .*out: No space left on device"):
        run(films, tmp_path / "out")


def test_a_torn_last_line_of_the_journal_is_ignored(films, tmp_path):
    dst = tmp_path / "out"
    run(films, dst)
    whole = tree(dst)
    settings = load_manifest(dst).settings
    (dst / "manifest.json").unlink()
    (dst / JOURNAL).write_text(json.dumps({"settings": settings}) + '\n{"source": "train/NOR')
    assert not load_manifest(dst).complete
    unfinished = index_pair_folder(dst, Pair.parse("8:32")).skipped
    assert [s.reason.split(":")[0] for s in unfinished] == ["prepare did not finish"]
    run(films, dst)
    assert tree(dst) == whole


def test_a_film_keeps_its_name_when_another_of_that_name_comes(films, tmp_path):
    run(films, tmp_path / "out", ["8:32"])
    before = tree(tmp_path / "out")
    draw(films / "test" / "NORMAL" / "IM-0001-0001.jpeg")
    manifest = run(films, tmp_path / "out", ["8:32"])
    after = tree(tmp_path / "out")
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: sha for name, sha in before.items() if name != "manifest.json"
    }
    names = {film.source: film.name for film in manifest.films}
    assert names["test/NORMAL/IM-0001-0001.png"] == "IM-0001-0001"
    assert names["test/NORMAL/IM-0001-0001.jpeg"].startswith("IM-0001-0001-")
    assert len(after) == len(before) + 2
    assert run(films, tmp_path / "out", ["8:32"]) == manifest and tree(tmp_path / "out") == after


def test_what_no_decoder_may_touch_is_named(films, tmp_path):
    os.mkfifo(films / "train" / "pipe.png")
    (films / "train" / "b.dcm").symlink_to(tmp_path / "nowhere")
    with open(os.fsencode(films / "train") + b"/latin\xe9.png", "wb") as file:
        file.write((films / "test" / "NORMAL" / "IM-0001-0001.png").read_bytes())
    manifest = run(films, tmp_path / "out", ["8:32"])
    assert dict(manifest.skipped) == {
        "train/b.dcm": "a link that leads nowhere",
        "train/latin\\xe9.png": "its path is not UTF-8 text",
        "train/pipe.png": "a pipe, socket or device",
    }
    assert manifest.summary().isprintable() or "latin" in manifest.summary()
    assert load_manifest(tmp_path / "out") == manifest


def test_shared_patients_stick_to_what_was_prepared_with_them(films, tmp_path):
    draw(films / "test" / "NORMAL" / "person41_virus_9.png")
    with pytest.raises(UserError, match="train and test share 1 patients"):
        run(films, tmp_path / "out", ["8:32"])
    run(films, tmp_path / "out", ["8:32"], allow_shared_patients=True)
    assert index_pair_folder(tmp_path / "out", Pair.parse("8:32")).of("test")
    with pytest.raises(UserError, match="share 1 patients"):
        run(films, tmp_path / "out", ["8:32"])


def test_patients_of_a_table_go_into_the_manifest(films, tmp_path):
    table = tmp_path / "t.csv"
    names = [path.name for path in films.rglob("*.*")]
    table.write_text("file,patient\n" + "".join(f"{name},P{name[:9]}\n" for name in names))
    manifest = run(films, tmp_path / "out", ["8:32"], patients=table)
    assert {film.patient for film in manifest.films} == {f"P{name[:9]}" for name in names}
    prepared = index_pair_folder(tmp_path / "out", Pair.parse("8:32")).films
    assert {film.patient for film in prepared} == {film.patient for film in manifest.films}
    with pytest.raises(UserError, match="patients was t.csv, now None"):
        run(films, tmp_path / "out", ["8:32"])


def test_progress_is_told_in_lines_where_there_is_no_terminal(films, tmp_path, capsys):
    run(films, tmp_path / "out", progress=True)
    assert capsys.readouterr().err.splitlines()[-1] == "Preparing 33/33"


def test_workers_do_without_tensorflow():
    code = (
        "import sys, xraysr.data.prepare; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


SCRIPT = """
import sys
from xraysr.data.prepare import prepare

if __name__ == "__main__":
    try:
        prepare(sys.argv[1], sys.argv[2], ["16:64", "64:256"], workers=2, progress=False)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
"""


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A source that takes a few seconds, and the tree an uninterrupted run makes of it."""
    root = tmp_path_factory.mktemp("long")
    for n in range(80):
        draw(root / "films" / "train" / f"person{n}_virus_1.png", size=(260, 300))
    draw(root / "films" / "test" / "person900_virus_1.png", size=(260, 300))
    (root / "films" / "train" / "bad.png").write_text("bad")
    prepare(root / "films", root / "whole", ["16:64", "64:256"], workers=2, progress=False)
    (root / "script.py").write_text(SCRIPT)
    return root, tree(root / "whole")


def start_and_wait_for_films(root: Path, dst: Path) -> subprocess.Popen[str]:
    """Starts a run in a process group of its own; returns when ten films are in the journal."""
    process = subprocess.Popen(
        [sys.executable, str(root / "script.py"), str(root / "films"), str(dst)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    journal = dst / JOURNAL
    while not (journal.exists() and journal.read_text().count("\n") > 10):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    return process


def group_is_gone(group: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_stopped_midway_leaves_whole_files_and_goes_on(long_run, tmp_path, how):
    root, whole = long_run
    dst = tmp_path / "out"
    process = start_and_wait_for_films(root, dst)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # a terminal sends Ctrl-C to the workers too
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert errors == "interrupted\n"  # not a word from the workers
    else:
        process.kill()
        process.communicate(timeout=30)
    assert group_is_gone(process.pid)
    left = tree(dst)
    assert JOURNAL in left and "manifest.json" not in left
    films = {path: left[path] for path in left if not Path(path).name.startswith(".")}
    assert films.items() < whole.items()  # whole, as they will be, and not yet all
    prepare(root / "films", dst, ["16:64", "64:256"], workers=2, progress=False)
    assert tree(dst) == whole
