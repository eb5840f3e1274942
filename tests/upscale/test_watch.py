from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from xraysr.errors import BadImageError, ServerError, UserError
from xraysr.evaluation.metrics import lr_consistency
from xraysr.files import locked
from xraysr.io import Radiograph, read, write
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.files import Source
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.watch import Watch
from xraysr.version import __version__

EVERY = 0.01
PATIENCE = 60.0

# Kills itself at the n-th step on files: between any two, and so before and after each.
CRASHES = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.watch import Watch

STEPS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}

class Twice:
    spec = ModelSpec("twice", 2, receptive_radius=1, weights_sha256="ab")
    def run(self, batch):
        return batch.repeat(2, axis=1).repeat(2, axis=2)

def watch(folder, last):
    steps = itertools.count(1)
    def kill(event, _):
        if event in STEPS and next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
    if last:
        sys.addaudithook(kill)
    options = UpscaleOptions(maps=bool(os.environ.get("MAPS")))
    places = folder / "inbox", folder / "out"
    Watch(lambda: Upscaler(Twice()), *places, options, 0.001).run(once=True)

def in_a_process(*arguments):
    child = os.fork()
    if not child:
        watch(*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

films, root = map(Path, sys.argv[1:])
shutil.copytree(films, root / "0" / "inbox")
watch(root / "0", 0)  # imports what is imported late
for last in itertools.count(1):
    folder = root / str(last)
    shutil.copytree(films, folder / "inbox")
    code = in_a_process(folder, last)
    assert in_a_process(folder, 0) == 0
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
"""

# Kills its process at each film of 3 columns.
DEADLY = """
import os, signal, sys
from pathlib import Path
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.watch import Watch

class Deadly:
    spec = ModelSpec("deadly", 2, receptive_radius=1, weights_sha256="")
    def run(self, batch):
        if batch.shape[2] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch.repeat(2, axis=1).repeat(2, axis=2)

Watch(lambda: Upscaler(Deadly()), *map(Path, sys.argv[1:]), every=0.001).run(once=True)
"""


def save(path: Path, seed: int = 0, bits: int = 8, size: tuple[int, int] = (5, 7)) -> Path:
    """A film of noise; returns its path."""
    pixels = np.random.default_rng(seed).random(size, dtype=np.float32)
    write(path, Radiograph(pixels, bits))
    return path


def files(folder: Path) -> list[str]:
    """Every file below `folder`, in it what the watcher keeps for itself except its lock."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != ".xraysr/lock")


def pictures(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.endswith(".png")]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_twice(target: Path, source: Path) -> bool:
    return np.array_equal(read(target).stored()[::2, 1::2], read(source).stored())


class Place:
    """An inbox and an output, with a model that doubles every pixel.

    Args:
        folder: Where both lie.
        runtime: The model.
    """

    def __init__(self, folder: Path, runtime) -> None:
        self.inbox, self.out = folder / "inbox", folder / "out"
        self.inbox.mkdir()
        self.processed, self.quarantine = (self.inbox / n for n in ("processed", "quarantine"))
        self.runtime = runtime
        self.options = UpscaleOptions()
        self.opened = 0

    def open_model(self) -> Upscaler:
        self.opened += 1
        return Upscaler(self.runtime)

    def service(self) -> Watch:
        return Watch(self.open_model, self.inbox, self.out, self.options, EVERY)

    def once(self) -> int:
        return self.service().run(once=True)

    def run(self, until) -> Watch:
        """Runs until `until()` is true after a poll; for things that need several polls."""
        service = self.service()
        pause, patience = service._pause, time.monotonic() + PATIENCE

        def look() -> None:
            if until():
                service.stop()
            assert time.monotonic() < patience, "what the test waits for did not come"
            pause()

        service._pause = look
        service.run()
        return service

    def reason(self, name: str) -> str:
        text = (self.quarantine / f"{name}.reason.txt").read_text("utf-8")
        size = (self.quarantine / name).stat().st_size
        assert text.count("\n") == 1 and text.endswith(f" [{size} bytes]\n")
        return text.removesuffix(f" [{size} bytes]\n")


@pytest.fixture
def place(tmp_path, repeat) -> Place:
    return Place(tmp_path, repeat(2))


def test_a_film_comes_out_sharpened_with_its_card_and_moves_on(place):
    source = save(place.inbox / "ward" / "film.tif", bits=16)
    content, digest = source.read_bytes(), sha256(source)
    assert place.once() == 0
    assert files(place.inbox) == ["processed/ward/film.tif"]
    assert files(place.out) == ["ward/film.png", "ward/film.png.json"]
    original = place.processed / "ward" / "film.tif"
    assert original.read_bytes() == content
    assert is_twice(place.out / "ward" / "film.png", original)
    assert read(place.out / "ward" / "film.png").bits == 16
    card = json.loads((place.out / "ward" / "film.png.json").read_text("utf-8"))
    assert card.pop("written").endswith("+00:00")
    assert card.pop("note").endswith(f"detail may be synthetic; film sha256 {digest}")
    assert card.pop("lr_consistency_dB")[0] > 10
    assert card.pop("notices")[0]["code"] == "lr-consistency"
    assert card == {
        "source": "ward/film.tif",
        "source_sha256": digest,
        "model": "repeat",
        "weights_sha256": "",
        "scale": 2,
        "version": __version__,
        "options": [],
        "bits": 16,
        "maps": [],
    }


def test_what_is_no_finished_film_is_left_alone_and_named_once(place, caplog):
    save(place.inbox / "film.png")
    save(place.inbox / ".hidden.png")
    save(place.inbox / ".hidden" / "film.png")
    (place.inbox / "film.png.part").write_text("half")
    (place.inbox / "film.TMP").write_text("half")
    (place.inbox / "notes.txt").write_text("notes")
    (place.inbox / "1.2.840.7").write_text("a film without a suffix?")
    (place.inbox / "link.png").symlink_to(place.inbox / ".hidden.png")
    os.mkfifo(place.inbox / "pipe.png")
    before = {name: (place.inbox / name).lstat() for name in os.listdir(place.inbox)}
    polls = iter(range(6))
    place.run(lambda: next(polls) == 5)
    left = {name: (place.inbox / name).lstat() for name in os.listdir(place.inbox)}
    assert set(before) - set(left) == {"film.png"}
    assert set(left) - set(before) == {"processed", ".xraysr"}
    assert pictures(place.out) == ["film.png"]
    lines = sorted(line for line in caplog.messages if "left alone" in line)
    named = ("1.2.840.7", "link.png", "notes.txt", "pipe.png")
    assert len(lines) == len(named)
    for line, name in zip(lines, named, strict=True):
        assert line.startswith(str(place.inbox / name))


def test_a_film_that_is_still_being_copied_is_not_taken(place):
    whole = save(place.inbox.parent / "film.png", size=(40, 40)).read_bytes()
    film = place.inbox / "film.png"
    pieces = [whole[: len(whole) * part // 8] for part in range(1, 9)]
    seen = []

    def copied() -> bool:
        """Writes another piece before each look, and at last waits for the film to be taken."""
        if pieces:
            film.write_bytes(pieces.pop(0))
            seen.append(files(place.out))
            return False
        return not film.exists()

    service = place.run(copied)
    assert seen == [[]] * 8
    assert service._quarantined == 0
    assert pictures(place.out) == ["film.png"]
    assert is_twice(place.out / "film.png", place.processed / "film.png")


@pytest.mark.parametrize("moment", ["read", "run"])
def test_a_film_that_changes_while_it_is_in_hand_stays(place, monkeypatch, moment):
    """Reading it is for nothing; of what was enlarged, the output stays with its own hash."""
    film = save(place.inbox / "film.png")
    other = save(place.inbox.parent / "other.png", seed=1, size=(6, 6)).read_bytes()
    digests = [sha256(film), hashlib.sha256(other).hexdigest()]

    def change(*_):
        film.write_bytes(other)

    with monkeypatch.context() as patch:
        if moment == "read":
            open_film = Source.open
            patch.setattr(Source, "open", lambda *given: (open_film(*given), change())[0])
        else:
            run = place.runtime.run
            patch.setattr(place.runtime, "run", lambda batch: (run(batch), change())[0])
        place.once()
        assert film.read_bytes() == other
        assert not place.processed.exists() and not place.quarantine.exists()
    place.once()
    cards = [json.loads((place.out / f"{n}.json").read_text()) for n in pictures(place.out)]
    assert sorted(c["source_sha256"] for c in cards) == sorted(digests[moment == "read" :])
    assert (place.processed / "film.png").read_bytes() == other


def test_films_of_one_name_get_numbers(place):
    sources = [save(place.inbox / name, seed) for seed, name in enumerate(("a.png", "a.tif"))]
    contents = [source.read_bytes() for source in sources]
    place.once()
    third = save(place.inbox / "a.png", 2).read_bytes()
    place.once()
    assert pictures(place.out) == ["a-2.png", "a.png", "a.tif.png"]
    assert files(place.processed) == ["a-2.png", "a.png", "a.tif"]
    for target, source, content in (
        ("a.png", "a.png", contents[0]),
        ("a.tif.png", "a.tif", contents[1]),
        ("a-2.png", "a-2.png", third),
    ):
        assert is_twice(place.out / target, place.processed / source)
        assert (place.processed / source).read_bytes() == content


def test_a_film_that_comes_again_is_not_done_again(place):
    content = save(place.inbox / "a.png").read_bytes()
    place.once()
    before = (place.out / "a.png").stat().st_mtime_ns
    (place.inbox / "a.png").write_bytes(content)
    place.once()
    assert len(place.runtime.seen) == 1
    assert pictures(place.out) == ["a.png"]
    assert (place.out / "a.png").stat().st_mtime_ns == before
    assert files(place.processed) == ["a-2.png", "a.png"]


def test_what_others_put_into_the_output_is_not_replaced(place):
    save(place.inbox / "a.png")
    mine = save(place.out / "a.png", seed=5).read_bytes()
    place.once()
    assert (place.out / "a.png").read_bytes() == mine
    assert pictures(place.out) == ["a-2.png", "a.png"]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n"])
def test_an_output_that_a_power_cut_spoilt_is_made_anew(place, content):
    film = save(place.inbox / "a.png").read_bytes()
    place.once()
    (place.out / "a.png").write_bytes(content)
    (place.inbox / "a.png").write_bytes(film)
    place.once()
    assert pictures(place.out) == ["a.png"]
    assert is_twice(place.out / "a.png", place.processed / "a.png")


def test_what_is_renamed_is_on_disk_before(place, monkeypatch):
    """A power cut may undo what was not: so a film leaves the inbox when all of it was."""
    steps = []

    def name_of(file) -> str:
        descriptor = file if isinstance(file, int) else file.fileno()
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    for name, say in (("fsync", name_of), ("replace", lambda a, b: b.name), ("rename", None)):
        step = getattr(os, name)

        def record(*arguments, name=name, say=say, step=step):
            if name == "fsync" or arguments[1].parent.name != "work":
                steps.append(f"{name} {say(*arguments)}" if say else name)
            return step(*arguments)

        monkeypatch.setattr(os, name, record)
    save(place.inbox / "a.png")
    steps.clear()
    place.once()
    assert len(steps.pop(0).removeprefix("fsync ")) == 64, "its mark"
    written, named = steps[:2], steps[2:]
    assert written == ["fsync a.png.json", "fsync a.png"]
    assert named == ["replace a.png.json", "replace a.png", "fsync out", "rename"]


def test_names_of_any_bytes_and_length(place):
    names = [b"\xff\xfe.png", "\N{SNOWMAN}".encode() * 83 + b".png", b"x" * 251 + b".png"]
    for seed, name in enumerate(names):
        target = save(place.inbox / "film.png", seed)
        os.rename(target, os.path.join(os.fsencode(place.inbox), name))
    bad = os.path.join(os.fsencode(place.inbox), b"\xff" + b"y" * 240 + b".png")
    Path(os.fsdecode(bad)).write_text("no film")
    assert place.once() == 1
    assert len(pictures(place.out)) == len(pictures(place.processed)) == 3
    assert len(files(place.quarantine)) == 2


def bad_films(folder: Path) -> dict[str, str]:
    """Films that cannot be used, and a word of the reason for each."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not an image")
    half = save(folder / "half.jpg", size=(64, 64))
    half.write_bytes(half.read_bytes()[:600])
    cut = save(folder / "cut.png", size=(64, 64))
    cut.write_bytes(cut.read_bytes()[:-20])
    nan = np.full((4, 4), np.nan, np.float32)
    Image.fromarray(nan).save(folder / "nan.tif")
    no_rows = save(folder / "no_rows.png").read_bytes()
    (folder / "no_rows.png").write_bytes(no_rows[:20] + bytes(4) + no_rows[24:])
    (folder / "no_pixels.dcm").write_bytes(bytes(128) + b"DICM")
    return {
        "empty.png": "empty (0 bytes)",
        "text.png": "text",
        "half.jpg": "truncated",
        "cut.png": "truncated",
        "nan.tif": "floating-point values",
        "no_rows.png": "damaged",
        "no_pixels.dcm": "no pixel data",
    }


def test_films_that_cannot_be_used_are_quarantined_with_the_reason(place, caplog):
    (place.inbox / "sub").mkdir()
    reasons = bad_films(place.inbox / "sub")
    contents = {name: (place.inbox / "sub" / name).read_bytes() for name in reasons}
    save(place.inbox / "sub" / "good.png")
    assert place.once() == len(reasons)
    assert pictures(place.out) == ["sub/good.png"]
    assert len(files(place.inbox)) == 2 * len(reasons) + 1
    for name, reason in reasons.items():
        assert (place.quarantine / "sub" / name).read_bytes() == contents[name]
        assert reason in place.reason(f"sub/{name}")
        assert any(name in line and reason in line for line in caplog.messages)


def test_quarantined_films_of_one_name_keep_their_own_reasons(place):
    for text in ("", "text"):
        (place.inbox / "a.png").write_text(text)
        place.once()
    assert files(place.quarantine) == [
        "a-2.png", "a-2.png.reason.txt", "a.png", "a.png.reason.txt",
    ]  # fmt: skip
    assert "empty" in place.reason("a.png")
    assert "text" in place.reason("a-2.png")


def test_a_film_put_back_from_quarantine_is_tried_again(place):
    film = save(place.inbox / "a.png").read_bytes()
    (place.inbox / "a.png").write_bytes(film[:-30])
    assert place.once() == 1
    assert "truncated" in place.reason("a.png")
    (place.quarantine / "a.png").unlink()
    (place.inbox / "a.png").write_bytes(film)
    assert place.once() == 0
    assert pictures(place.out) == ["a.png"]


@pytest.mark.parametrize("pause", ["short", "long"])
def test_a_copier_that_pauses_is_waited_for(place, waits, pause, caplog):
    """And one that pauses for longer finds its film again, though it lay in quarantine."""
    caplog.set_level("INFO", "xraysr")
    whole = save(place.inbox.parent / "film.png", size=(40, 40)).read_bytes()
    film, polls = place.inbox / "film.png", []
    with film.open("wb") as copier:
        copier.write(whole[:900])
        copier.flush()

        def copied() -> bool:
            polls.append(film.exists())
            go_on = len(polls) == 3 if pause == "short" else place.quarantine.exists()
            if go_on and not copier.closed:
                copier.write(whole[900:])
                copier.close()
            return (place.processed / "film.png").exists()

        service = place.run(copied)
    assert is_twice(place.out / "film.png", place.processed / "film.png")
    assert (place.processed / "film.png").read_bytes() == whole
    assert service._quarantined == (pause == "long")
    assert files(place.inbox) == ["processed/film.png"]
    said = [line for line in caplog.messages if "grown in quarantine" in line]
    assert len(said) == (pause == "long")


def test_a_film_that_grew_while_nobody_watched_is_tried_again(place):
    whole = save(place.inbox / "a.png").read_bytes()
    (place.inbox / "a.png").write_bytes(whole[:-30])
    assert place.once() == 1
    (place.quarantine / "a.png").write_bytes(whole)
    assert place.once() == 0
    assert pictures(place.out) == ["a.png"] and files(place.inbox) == ["processed/a.png"]


@pytest.mark.parametrize(
    "error",
    [UserError("The model m does not fit its card"), RuntimeError("out of memory"), MemoryError()],
)
def test_a_model_at_fault_never_quarantines_films(place, waits, error, caplog):
    place.runtime = Faulty(*[error] * 10)
    film = save(place.inbox / "a.png")
    service = place.run(lambda: not film.exists())
    assert (place.runtime.calls, service._quarantined) == (11, 0)
    assert place.opened == 11, "it is opened again, as it may have been mended"
    assert pictures(place.out) == ["a.png"]
    assert any("a.png: waits for" in line for line in caplog.messages)


def test_a_missing_package_never_quarantines_films(place, waits, monkeypatch):
    """The film is read when it is installed, or another service takes it."""
    film, missing = save(place.inbox / "a.png"), [1] * 5
    open_film = Source.open

    def fail(*given):
        if missing:
            missing.pop()
            raise BadImageError("a.png: a DICOM film, which needs pydicom. pip install pydicom")
        return open_film(*given)

    monkeypatch.setattr(Source, "open", fail)
    service = place.run(lambda: not film.exists())
    assert service._quarantined == 0
    assert pictures(place.out) == ["a.png"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("failed\nto allocate"), KeyError(3)])
def test_a_film_that_fails_while_others_go_through_is_quarantined(place, waits, error):
    """Three times; whatever nobody thought of does not end the service."""
    place.runtime = Faulty(error, None, error, error)
    for name in ("a.png", "b.png"):
        save(place.inbox / name)
    place.run(lambda: place.quarantine.exists())
    assert type(error).__name__ in place.reason("a.png")
    assert pictures(place.out) == ["b.png"]


class Faulty:
    """A server that raises the errors given, one at each call, then works."""

    def __init__(self, *errors: Exception | None) -> None:
        self.spec = ModelSpec("faulty", 2, receptive_radius=1, weights_sha256="")
        self.errors = list(errors)
        self.calls = 0

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.errors and (error := self.errors.pop(0)):
            raise error
        return batch.repeat(2, axis=1).repeat(2, axis=2)


@pytest.fixture
def waits(monkeypatch) -> None:
    """Short ones, of polls."""
    monkeypatch.setattr("xraysr.upscale.watch.WAITS", (2, 4))


@pytest.mark.parametrize("error", [ServerError("server is down"), ConnectionResetError("gone")])
def test_a_film_waits_for_a_server_that_recovers(place, waits, error):
    place.runtime = Faulty(error, error)
    film = save(place.inbox / "a.png")
    service = place.run(lambda: not film.exists())
    assert (place.runtime.calls, place.opened, service._quarantined) == (3, 3, 0)
    assert is_twice(place.out / "a.png", place.processed / "a.png")


def test_after_three_tries_it_is_quarantined_and_the_others_go_on(place, waits):
    down = ServerError("http://host: answered 500")
    place.runtime = Faulty(down, None, down, down)
    for name in ("a.png", "b.png"):
        save(place.inbox / name)
    place.run(lambda: place.quarantine.exists())
    assert place.runtime.calls == 4
    assert place.reason("a.png") == "http://host: answered 500"
    assert pictures(place.out) == ["b.png"]


def test_waits_grow(place):
    place.runtime = Faulty(*[ServerError("down")] * 3)
    film = save(place.inbox / "a.png")
    service = place.service()
    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xraysr.upscale.watch.time.monotonic", lambda: now[0])
        tries = []

        def pause() -> None:
            now[0] += EVERY
            if len(tries) < place.runtime.calls:
                tries.append(round(now[0] / EVERY))
            if not film.exists():
                service.stop()

        patch.setattr(service, "_pause", pause)
        service.run()
    assert np.abs(np.diff(tries) - [15, 150, 150]).max() <= 1, "to a poll"


def test_a_film_that_is_taken_away_is_not_waited_for(place):
    place.runtime = Faulty(ServerError("down"))
    film = save(place.inbox / "a.png")
    polls = iter(range(4))

    def taken_away() -> bool:
        if place.runtime.calls:
            film.unlink(missing_ok=True)
        return next(polls) == 3

    service = place.run(taken_away)
    assert (place.runtime.calls, len(service._waiting)) == (1, 0)


def test_a_model_that_cannot_be_opened_again_is_not_the_films_fault_at_once(place, waits):
    place.runtime = Faulty(ServerError("closed mid-stream"))
    film = save(place.inbox / "a.png")
    model, opened = place.open_model, []

    def open_model() -> Upscaler:
        opened.append(len(opened))
        if opened[-1] == 1:
            raise UserError("edge.tflite is just being replaced")
        return model()

    place.open_model = open_model
    service = place.run(lambda: not film.exists())
    assert (len(opened), service._quarantined) == (3, 0)
    assert pictures(place.out) == ["a.png"]


def test_once_leaves_what_met_trouble_for_the_next_time(place):
    place.runtime = Faulty(ServerError("down"))
    save(place.inbox / "a.png")
    assert place.once() == 1
    assert (files(place.inbox), files(place.out)) == (["a.png"], [])
    assert place.once() == 0
    assert pictures(place.out) == ["a.png"]


@pytest.mark.parametrize("step", ["fsync", "replace", "card", "write"])
def test_while_the_disk_is_full_films_wait_and_it_is_said_once(
    place, waits, monkeypatch, caplog, step
):
    """More often than three times, and nothing is left of what could not be written."""
    films = [save(place.inbox / name) for name in ("a.png", "b.png")]
    (place.inbox / "c.png").write_text("this one cannot be quarantined either")
    full = OSError(errno.ENOSPC, "No space left on device")
    name = {"fsync": "os.fsync", "write": "os.open"}.get(step, "os.replace")
    working, refused, space = getattr(os, name[3:]), [], []

    def fail(*arguments, **options):
        hit = step in ("fsync", "replace")
        if step == "write":
            hit = bool(arguments[1] & (os.O_WRONLY | os.O_RDWR))
        if step == "card":  # the picture lies there already
            hit = arguments[1].name in ("a.png.json", "b.png.json", "c.png.reason.txt")
        if not space and hit:
            refused.append(arguments)
            if len(refused) > 30:
                space.append("freed")
            raise full
        return working(*arguments, **options)

    monkeypatch.setattr(name, fail)
    empty = []

    def done() -> bool:
        if not space:
            empty.append(pictures(place.out))
        return not any(film.exists() for film in films) and place.quarantine.exists()

    service = place.run(done)
    assert not any(empty)
    assert service._quarantined == 1
    assert pictures(place.out) == ["a.png", "b.png"]
    assert len([line for line in caplog.messages if "No space left on device" in line]) == 1
    assert len(files(place.out)) == 4, "no marks, nothing half written"


def test_one_watcher_for_an_inbox_and_an_output(place):
    save(place.inbox / "a.png")
    for folder in (place.inbox, place.out):
        with (
            locked(folder / ".xraysr" / "lock"),
            pytest.raises(UserError, match=f"Another watcher uses {folder}"),
        ):
            place.once()
    assert place.opened == 0
    assert place.once() == 0


def test_folders_that_cannot_be(place, tmp_path):
    for inbox, out in (
        (tmp_path / "nowhere", place.out),
        (place.inbox, place.inbox),
        (place.inbox, place.inbox / "out"),
        (place.inbox, tmp_path),
    ):
        with pytest.raises(UserError, match="nowhere|neither in the other"):
            Watch(place.open_model, inbox, out)
    for every in (0, -1, float("nan")):
        with pytest.raises(UserError, match="more than 0"):
            Watch(place.open_model, place.inbox, place.out, every=every)
    place.out.write_text("a file")
    with pytest.raises(UserError, match="Cannot create the folder"):
        place.once()


def test_a_model_that_cannot_be_opened_ends_it_at_once(place):
    def nothing() -> Upscaler:
        raise UserError("No model at nowhere.tflite")

    place.open_model = nothing
    save(place.inbox / "a.png")
    with pytest.raises(UserError, match="No model"):
        place.once()
    assert files(place.inbox) == ["a.png"]


def test_stop_ends_it_after_the_film_in_hand(place, monkeypatch):
    for name in ("a.png", "b.png"):
        save(place.inbox / name)
    service = place.service()
    run = place.runtime.run
    monkeypatch.setattr(place.runtime, "run", lambda batch: (service.stop(), run(batch))[1])
    service.run()
    assert pictures(place.out) == ["a.png"]
    assert files(place.inbox) == ["b.png", "processed/a.png"]


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.parametrize("maps", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_between_any_two_steps_it_ends_as_if_nothing_had_happened(
    tmp_path, monkeypatch, maps
):
    monkeypatch.setenv("MAPS", "1" if maps else "")
    films = tmp_path / "films"
    for seed, name in enumerate(("a.png", "a.tif", "ward/a.png")):
        save(films / name, seed, bits=16 if seed else 8)
    (films / "bad.png").write_text("no film")
    done = run_script(CRASHES, films, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) > 50
    outputs = {"a.png": "a.png", "a.tif.png": "a.tif", "ward/a.png": "ward/a.png"}
    for run in runs:
        out, processed = run / "out", run / "inbox" / "processed"
        beside = [f"{name}.json" for name in outputs]
        if maps:
            stems = [name.removesuffix(".png") for name in outputs]
            ends = ("added", "added.overlay", "uncertainty", "uncertainty.overlay")
            beside += [f"{stem}.{end}.png" for stem in stems for end in ends]
        assert files(out) == sorted([*outputs, *beside]), run
        assert files(run / "inbox") == sorted(
            [f"processed/{name}" for name in outputs.values()]
            + ["quarantine/bad.png", "quarantine/bad.png.reason.txt"]
        ), run
        for target, source in outputs.items():
            assert (processed / source).read_bytes() == (films / source).read_bytes(), run
            assert is_twice(out / target, films / source), run
            card = json.loads((out / f"{target}.json").read_text("utf-8"))
            assert card["source_sha256"] == sha256(films / source), run
            assert card["source"] == source, run


def test_a_film_that_kills_the_process_twice_is_quarantined(place):
    save(place.inbox / "a.png")
    save(place.inbox / "b.png", size=(3, 3))
    save(place.inbox / "c.png")
    codes = [run_script(DEADLY, place.inbox, place.out).returncode for _ in range(3)]
    assert codes == [-9, -9, 0]
    assert pictures(place.out) == ["a.png", "c.png"]
    assert "killed in the middle of it 2 times" in place.reason("b.png")
    assert len(files(place.out)) == 4, "no mark is left"
    os.rename(place.quarantine / "b.png", place.inbox / "b.png")
    assert place.once() == 0, "its tries are forgotten"
    assert pictures(place.out) == ["a.png", "b.png", "c.png"]


def test_it_needs_neither_tensorflow_nor_rich():
    """Nothing on a device but NumPy and Pillow has to be there for the service itself."""
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'rich', 'typer', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import xraysr.upscale.watch\n"
        "assert 'pydicom' not in sys.modules\n"
    )
    done = run_script(script)
    assert done.returncode == 0, done.stderr


def dicom(path: Path, kind: str | None = None) -> Path:
    """A CR film of pydicom's, or the same as another class; returns its path."""
    film = dcmread(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))
    if kind is not None:
        film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = kind
        film.Modality = {"2": "CT", "88.22": "SR"}[kind.removeprefix("1.2.840.10008.5.1.4.1.1.")]
    path.parent.mkdir(parents=True, exist_ok=True)
    film.save_as(path)
    return path


def test_dicom_stays_dicom_with_its_patient_and_study(place):
    """Named as storescp names it: without a suffix."""
    name = "CR.1.3.6.1.4.1.5962.1.1.0.0.0"
    before = read(dicom(place.inbox / name))
    assert place.once() == 0
    assert files(place.out) == [f"{name}.dcm", f"{name}.dcm.json"]
    after = read(place.out / f"{name}.dcm")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SOPClassUID"):
        assert after.header[keyword].value == before.header[keyword].value
    assert after.bits == before.bits == 12
    np.testing.assert_array_equal(after.stored()[::2, ::2], before.stored())
    assert files(place.inbox) == [f"processed/{name}"]


def test_a_study_goes_through_and_what_is_no_film_is_named(place, caplog):
    dicom(place.inbox / "IM1")
    dicom(place.inbox / "CT1", "1.2.840.10008.5.1.4.1.1.2")
    dicom(place.inbox / "CT2.dcm", "1.2.840.10008.5.1.4.1.1.2")
    dicom(place.inbox / "report", "1.2.840.10008.5.1.4.1.1.88.22")
    dicom(place.inbox / "DICOMDIR", "1.2.840.10008.5.1.4.1.1.2")
    assert place.once() == 0
    assert [name for name in files(place.out) if name.endswith(".dcm")] == ["IM1.dcm"]
    assert files(place.inbox) == ["CT1", "CT2.dcm", "DICOMDIR", "processed/IM1", "report"]
    said = "\n".join(line for line in caplog.messages if "left alone" in line)
    for name in ("CT1", "CT2.dcm", "report", "DICOMDIR"):
        assert f"{place.inbox / name} is left alone: DICOM, but no radiograph" in said


def test_every_option_is_there(place, caplog):
    film = save(place.inbox / "film.tif", bits=16, size=(40, 40))
    lr = read(film).pixels
    place.options = UpscaleOptions(faithful=True, maps=True)
    place.once()
    assert files(place.out) == sorted(
        ["film.png", "film.png.json"]
        + [f"film.{n}{e}.png" for n in ("added", "uncertainty") for e in ("", ".overlay")]
    )
    assert lr_consistency(read(place.out / "film.png").pixels, lr) > 40
    card = json.loads((place.out / "film.png.json").read_text("utf-8"))
    assert card["options"] == ["faithful"] and card["maps"][0]["added"]["files"]


def test_notices_are_said_and_strict_puts_the_film_aside(place, caplog):
    save(place.inbox / "a.png")
    place.once()
    assert any(line.startswith("a.png: notice lr-consistency: ") for line in caplog.messages)
    save(place.inbox / "b.png", seed=1)
    place.options = UpscaleOptions(strict=True)
    assert place.once() == 1
    assert "notice lr-consistency" in place.reason("b.png")


def test_another_model_makes_another_output(place, repeat):
    """And maps never replace what lies there."""
    content = save(place.inbox / "a.png").read_bytes()
    place.once()
    save(place.out / "a-2.added.png", seed=7)
    (place.inbox / "a.png").write_bytes(content)
    place.runtime = repeat(2)
    place.runtime.spec = ModelSpec("other", 2, receptive_radius=1, weights_sha256="ff")
    place.options = UpscaleOptions(maps=True)
    before = (place.out / "a-2.added.png").read_bytes()
    place.once()
    cards = {name: json.loads((place.out / name).read_text())["model"]
             for name in files(place.out) if name.endswith(".json")}  # fmt: skip
    assert cards == {"a.png.json": "repeat", "a-3.png.json": "other"}
    assert (place.out / "a-2.added.png").read_bytes() == before
