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

from xraysr.errors import ServerError, UserError
from xraysr.io import Radiograph, read, write
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.inbox import Inbox
from xraysr.upscale.inbox_files import desk
from xraysr.version import __version__

EVERY = 0.01
PATIENCE = 60.0

# Kills itself at the n-th step on files: between any two, and so before and after each.
CRASHES = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.inbox import Inbox

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
    Inbox(lambda: Upscaler(Twice()), folder / "inbox", folder / "out", 0.001).run(once=True)

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
from xraysr.upscale.inbox import Inbox

class Deadly:
    spec = ModelSpec("deadly", 2, receptive_radius=1, weights_sha256="")
    def run(self, batch):
        if batch.shape[2] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch.repeat(2, axis=1).repeat(2, axis=2)

Inbox(lambda: Upscaler(Deadly()), *map(Path, sys.argv[1:]), 0.001).run(once=True)
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
        self.opened = 0

    def open_model(self) -> Upscaler:
        self.opened += 1
        return Upscaler(self.runtime)

    def service(self) -> Inbox:
        return Inbox(self.open_model, self.inbox, self.out, EVERY)

    def once(self) -> int:
        return self.service().run(once=True)

    def run(self, until) -> Inbox:
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
        assert text.count("\n") == 1 and text.endswith("\n")
        return text


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
    written = card.pop("written")
    assert written.endswith("+00:00")
    assert card == {
        "source": "ward/film.tif",
        "source_sha256": digest,
        "model": "repeat",
        "weights_sha256": "",
        "xraysr": __version__,
        "note": "Detail may be synthetic. Research use only; keep the original, and read it.",
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
            patch.setattr("xraysr.upscale.inbox.read", lambda path: (read(path), change())[0])
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
    assert pictures(place.out) == ["a-2.png", "a-3.png", "a.png"]
    assert files(place.processed) == ["a-2.png", "a.png", "a.tif"]
    for target, source, content in (
        ("a.png", "a.png", contents[0]),
        ("a-2.png", "a.tif", contents[1]),
        ("a-3.png", "a-2.png", third),
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
    assert sorted(written) == ["fsync film.json", "fsync film.png"]
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
        "text.png": "its content is text",
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


def test_a_film_put_back_from_quarantine_is_tried_again(place, repeat):
    save(place.inbox / "a.png")
    place.runtime = repeat(2, factor=3)
    assert place.once() == 1
    assert "does not fit its card: expected x2" in place.reason("a.png")
    place.runtime = repeat(2)
    os.rename(place.quarantine / "a.png", place.inbox / "a.png")
    assert place.once() == 0
    assert pictures(place.out) == ["a.png"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("failed\nto allocate"), KeyError(3)])
def test_errors_nobody_thought_of_end_a_film_and_not_the_service(place, monkeypatch, error):
    for name in ("a.png", "b.png"):
        save(place.inbox / name, size=(5, len(name)))
    calls = []

    def run(batch):
        calls.append(batch)
        if len(calls) == 1:
            raise error
        return batch.repeat(2, axis=1).repeat(2, axis=2)

    monkeypatch.setattr(place.runtime, "run", run)
    assert place.once() == 1
    assert type(error).__name__ in place.reason("a.png")
    assert pictures(place.out) == ["b.png"]
    assert place.opened == 2, "after an error like this the model is opened again"


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
    """Short ones."""
    monkeypatch.setattr("xraysr.upscale.inbox.WAITS", (2, 4))


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
    assert place.reason("a.png") == "http://host: answered 500\n"
    assert pictures(place.out) == ["b.png"]


def test_waits_grow(place):
    place.runtime = Faulty(*[ServerError("down")] * 3)
    save(place.inbox / "a.png")
    service = place.service()
    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xraysr.upscale.inbox.time.monotonic", lambda: now[0])
        tries = []

        def pause() -> None:
            now[0] += EVERY
            if len(tries) < place.runtime.calls:
                tries.append(round(now[0] / EVERY))
            if place.quarantine.exists():
                service.stop()

        patch.setattr(service, "_pause", pause)
        service.run()
    first, second, third = tries[0], tries[1], tries[2]
    assert (second - first, third - second) == (15, 150)


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
            hit = arguments[1].name in ("film.json", "c.png.reason.txt")
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
            desk(folder),
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
            Inbox(place.open_model, inbox, out)
    for every in (0, -1, float("nan")):
        with pytest.raises(UserError, match="more than 0"):
            Inbox(place.open_model, place.inbox, place.out, every)
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


def test_killed_between_any_two_steps_it_ends_as_if_nothing_had_happened(tmp_path):
    films = tmp_path / "films"
    for seed, name in enumerate(("a.png", "a.tif", "ward/a.png")):
        save(films / name, seed, bits=16 if seed else 8)
    (films / "bad.png").write_text("no film")
    done = run_script(CRASHES, films, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) > 50
    outputs = {"a.png": "a.png", "a-2.png": "a.tif", "ward/a.png": "ward/a.png"}
    for run in runs:
        out, processed = run / "out", run / "inbox" / "processed"
        assert pictures(out) == sorted(outputs), run
        assert files(out) == sorted([*outputs, *(f"{name}.json" for name in outputs)]), run
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
        "import xraysr.upscale.inbox\n"
        "assert 'pydicom' not in sys.modules\n"
    )
    done = run_script(script)
    assert done.returncode == 0, done.stderr
