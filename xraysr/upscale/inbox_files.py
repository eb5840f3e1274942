"""What a watched folder knows of its films, all of it in files that outlive the process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from xraysr.errors import BadImageError, UserError
from xraysr.files import make_folder, write_json
from xraysr.io import IMAGE_SUFFIXES, Radiograph, read, write

PROCESSED, QUARANTINE, DESK = "processed", "quarantine", ".xraysr"
UNFINISHED = (".part", ".tmp")
KILLS = 2  # tries in the middle of which the process ended
NAME_BYTES = 200  # leaves room for what is added to a name


@dataclass(frozen=True)
class Film:
    """A film in an inbox: its path, its path below the inbox, its size and date in ns."""

    path: Path
    name: Path
    stamp: tuple[int, int]

    def unchanged(self) -> bool:
        """Whether it still lies there with that size and date."""
        return _stamp(self.path) == self.stamp

    def sha256(self) -> str:
        """The hash of its content."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_films(inbox: Path) -> tuple[list[Film], list[str]]:
    """The films in an inbox, sorted by path; and a line for all else that is left alone there.

    Hidden files, and names ending in .part or .tmp, are passed over without a word.
    """
    films, others = [], []
    failures: list[OSError] = []
    for folder, folders, files in os.walk(inbox, onerror=failures.append):
        rooms = (PROCESSED, QUARANTINE) if Path(folder) == inbox else ()
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in rooms)
        for path in (Path(folder, name) for name in sorted(files) if name[0] != "."):
            if path.suffix.lower() in UNFINISHED:
                continue
            stamp = _stamp(path)
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                others.append(f"{path} is left alone: its name is not that of a film")
            elif stamp is None:
                others.append(f"{path} is left alone: it is a link or no file")
            else:
                films.append(Film(path, path.relative_to(inbox), stamp))
    others += [f"{error.filename} cannot be read: {error.strerror}" for error in failures]
    return films, others


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and date of a file; None where there is no file, or a link."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


@contextmanager
def desk(folder: Path) -> Iterator[Path]:
    """An empty hidden folder for unfinished work in `folder`, which this process alone holds.

    Raises:
        UserError: if another process holds it, or it cannot be written.
    """
    work = make_folder(folder / DESK / "work")
    try:
        lock = (folder / DESK / "lock").open("a")
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another watcher uses {folder}: end it first.") from None
        except OSError as error:
            raise UserError(f"Cannot lock {folder}: {error.strerror}") from error
        shutil.rmtree(work, ignore_errors=True)
        yield make_folder(work)


@contextmanager
def tried(film: Film, out: Path) -> Iterator[None]:
    """Leaves a mark while the block runs, which stays where the process does not come back.

    Raises:
        BadImageError: if two tries left theirs.
    """
    mark = _mark(film, out)
    make_folder(mark.parent)
    if mark.exists() and mark.stat().st_size >= KILLS:
        raise BadImageError(
            f"{film.path}: the process was killed in the middle of it {KILLS} times. "
            "It may need more memory than there is"
        )
    try:
        with mark.open("ab") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file)
        yield
    finally:
        mark.unlink(missing_ok=True)


def _mark(film: Film, out: Path) -> Path:
    key = repr((os.fsencode(film.name), film.stamp)).encode()
    return out / DESK / "tries" / hashlib.sha256(key).hexdigest()


def output_of(film: Film, digest: str, out: Path) -> tuple[Path, bool]:
    """Where the film's output is or belongs, and whether it is there.

    It is when the image can be read and the card beside it holds `digest`; an output of another
    film of that name stays as it is, and the next number is taken.
    """
    for target in _numbered(out / film.name.with_suffix(".png")):
        if not os.path.lexists(target):
            return target, False  # a card without an image is what a killed process left
        if _digest_in(_card_of(target)) == digest:
            return target, _readable(target)
    raise AssertionError("the numbers never end")


def _card_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _digest_in(card: Path) -> str | None:
    try:
        return json.loads(card.read_text("utf-8")).get("source_sha256")
    except (OSError, ValueError, AttributeError):
        return None


def _readable(image: Path) -> bool:
    try:
        read(image)
    except UserError:
        return False
    return True


def put(work: Path, target: Path, image: Radiograph, card: dict[str, Any]) -> None:
    """Writes an output: both files on disk first, then the card in its place, then the image."""
    paper, picture = work / "film.json", work / "film.png"
    try:
        write(picture, image)
        write_json(paper, card)
        _settle(picture)
        _settle(paper)
        make_folder(target.parent)
        os.replace(paper, _card_of(target))
        os.replace(picture, target)
        _settle(target.parent)
    finally:
        picture.unlink(missing_ok=True)
        paper.unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Waits until a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_to_processed(film: Film, inbox: Path, out: Path) -> None:
    """Moves a film whose output is there, and forgets its tries."""
    place = _free(inbox / PROCESSED / film.name)
    _mark(film, out).unlink(missing_ok=True)
    os.rename(film.path, place)


def quarantine(film: Film, inbox: Path, out: Path, work: Path, reason: str) -> Path:
    """Puts a film aside with NAME.reason.txt beside it, and forgets its tries."""
    place = _free(inbox / QUARANTINE / film.name)
    note = work / "reason.txt"
    note.write_text(f"{reason}\n", "utf-8", errors="replace")
    os.replace(note, place.with_name(f"{place.name}.reason.txt"))
    _mark(film, out).unlink(missing_ok=True)
    os.rename(film.path, place)
    return place


def _free(path: Path) -> Path:
    """A path of that name at which nothing lies, in a folder that is there."""
    make_folder(path.parent)
    return next(place for place in _numbered(path) if not os.path.lexists(place))


def _numbered(path: Path) -> Iterator[Path]:
    """NAME, NAME-2, NAME-3 and so on; a name too long for what is added to it is cut."""
    stem = path.stem
    if len(os.fsencode(stem)) > NAME_BYTES:
        stem = os.fsencode(stem)[:NAME_BYTES].decode("utf-8", "ignore")
    yield path.with_name(f"{stem}{path.suffix}")
    for number in count(2):
        yield path.with_name(f"{stem}-{number}{path.suffix}")
