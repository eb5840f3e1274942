"""What a watched folder knows of its films, all of it in files that outlive the process."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import locked, make_folder, sha256_of
from xraysr.films.walk import FoundFilm, Skipped, examine
from xraysr.io import IMAGE_SUFFIXES, read
from xraysr.upscale.files import Enlarged, beside, sidecar_of
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.outputs import NAME_BYTES, Made, made_by, output_names

PROCESSED, QUARANTINE, OWN = "processed", "quarantine", ".xraysr"
UNFINISHED = (".part", ".tmp")
KILLS = 2  # tries in the middle of which the process ended
REASON = ".reason.txt"
NOTED = re.compile(r"\[(\d+) bytes\]\n$")  # how large a film was when it was quarantined


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
        return sha256_of(self.path)


class Inbox:
    """A folder that films are put into, and the one that their outputs go to.

    INBOX/a/film.dcm becomes OUT/a/film.dcm with OUT/a/film.dcm.json, which says what was made of
    what; what is not DICOM becomes a PNG. The film itself moves to INBOX/processed/a/film.dcm, or
    to INBOX/quarantine/a/film.dcm with the reason in film.dcm.reason.txt. Hidden files, names
    ending in .part or .tmp, links, and what is not a film by its content are left alone.

    Args:
        folder: The folder to watch, with its subfolders.
        out: The folder to write to.

    Raises:
        UserError: if `folder` is missing, or one folder lies in the other.
    """

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self.out = Path(folder), Path(out)
        if not self.folder.is_dir():
            raise UserError(f"The inbox must be an existing folder. Received: {folder}")
        one, other = self.folder.resolve(), self.out.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise UserError(
                "Inbox and output must be two folders, neither in the other. "
                f"Received: {folder} and {out}"
            )
        self._known: dict[Film, FoundFilm | Skipped] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds both folders, so that no other process works on them, and clears what it left.

        Raises:
            UserError: if another process holds one, or it cannot be written.
        """
        with ExitStack() as stack:
            for folder in (self.folder, self.out):
                if not stack.enter_context(locked(folder / OWN / "lock")):
                    raise UserError(f"Another watcher uses {folder}: end it first.")
                shutil.rmtree(folder / OWN / "work", ignore_errors=True)
                make_folder(folder / OWN / "work")
            yield

    @property
    def work(self) -> Path:
        """A hidden folder for outputs that are not finished, empty when the process starts."""
        return self.out / OWN / "work"

    def films(self) -> tuple[list[Film], list[str]]:
        """The films that lie there, sorted by path; and a line for all else that is left alone.

        Hidden files, and names ending in .part or .tmp, are left alone without a word.
        """
        films, others = [], []
        failures: list[OSError] = []
        known, self._known = self._known, {}
        for path in self._files(failures):
            film = Film(path, path.relative_to(self.folder), _stamp(path) or (0, 0))
            if _stamp(path) is None:
                others.append(f"{path} is left alone: it is a link or no file")
                continue
            found = known.get(film) or examine(path, ("film",))  # by content alone
            self._known[film] = found
            if isinstance(found, FoundFilm) or _is_damaged(path, found):
                films.append(film)
            else:
                others.append(f"{path} is left alone: {found.reason}")
        others += [f"{error.filename} cannot be read: {error.strerror}" for error in failures]
        return films, others

    def _files(self, failures: list[OSError]) -> Iterator[Path]:
        for folder, folders, files in os.walk(self.folder, onerror=failures.append):
            rooms = (PROCESSED, QUARANTINE) if Path(folder) == self.folder else ()
            folders[:] = sorted(name for name in folders if name[0] != "." and name not in rooms)
            for path in (Path(folder, name) for name in sorted(files) if name[0] != "."):
                if path.suffix.lower() not in UNFINISHED:
                    yield path

    def output_of(
        self, film: Film, digest: str, makers: frozenset[str], options: UpscaleOptions
    ) -> tuple[Path, bool]:
        """Where the film's output is or belongs, and whether it is there.

        It is when the image can be read and the sidecar says that one of `makers` made it of this
        film; any other output stays as it is, and the next name is taken.
        """
        found = self._known.get(film)
        dicom = isinstance(found, FoundFilm) and found.kind == "DICOM"
        ours = {Made(maker, digest) for maker in makers}
        for name in output_names(film.name, dicom):
            target = self.out / name
            if os.path.lexists(target):
                if made_by(sidecar_of(target)) in ours:
                    return target, _readable(target)
                continue
            maps = (path for path in beside(target, options) if path != sidecar_of(target))
            if all(made_by(path) in ours for path in maps if os.path.lexists(path)):
                return target, False  # a sidecar without an image is what a killed process left
        raise AssertionError("the names never end")

    @contextmanager
    def tried(self, film: Film) -> Iterator[None]:
        """Leaves a mark while the block runs, which stays where the process does not come back.

        Raises:
            BadImageError: if two tries left theirs.
        """
        mark = self._mark(film)
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

    def _mark(self, film: Film) -> Path:
        key = repr((os.fsencode(film.name), film.stamp)).encode()
        return self.out / OWN / "tries" / hashlib.sha256(key).hexdigest()

    def put(self, done: Enlarged, target: Path) -> None:
        """Moves what was written in `work` to its place: all on disk first, the image last."""
        try:
            for path in done.files:
                _settle(path)
            make_folder(target.parent)
            for path in done.files:
                os.replace(path, target.with_name(path.name))
            _settle(target.parent)
        finally:
            for path in done.files:
                path.unlink(missing_ok=True)

    def move_to_processed(self, film: Film) -> None:
        """Moves a film whose output is there, and forgets its tries."""
        place = _free(self.folder / PROCESSED / film.name)
        self._mark(film).unlink(missing_ok=True)
        os.rename(film.path, place)

    def quarantine(self, film: Film, reason: str) -> Path:
        """Puts a film aside with NAME.reason.txt beside it, and forgets its tries."""
        place = _free(self.folder / QUARANTINE / film.name)
        note = self.folder / OWN / "work" / "reason.txt"
        note.write_text(f"{reason} [{film.stamp[0]} bytes]\n", "utf-8", errors="replace")
        os.replace(note, _reason_of(place))
        self._mark(film).unlink(missing_ok=True)
        os.rename(film.path, place)
        return place

    def bring_back_grown(self) -> list[Path]:
        """Moves films that grew in quarantine, as a slow copier finished them, to the inbox."""
        room = self.folder / QUARANTINE
        back = []
        for note in sorted(room.rglob(f"*{REASON}")):
            film = note.with_name(note.name.removesuffix(REASON))
            stamp, noted = _stamp(film), NOTED.search(_text_of(note))
            if stamp is None or noted is None or stamp[0] == int(noted[1]):
                continue
            place = _free(self.folder / film.relative_to(room))
            os.rename(film, place)
            note.unlink()
            back.append(place)
        return back


def _is_damaged(path: Path, found: Skipped) -> bool:
    """Whether a file that holds no film is named as one; reading it says what is wrong."""
    return path.suffix.lower() in IMAGE_SUFFIXES and "DICOM" not in found.reason


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and date of a file; None where there is no file, or a link."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _readable(image: Path) -> bool:
    try:
        read(image)
    except UserError:
        return False
    return True


def _settle(path: Path) -> None:
    """Waits until a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason_of(film: Path) -> Path:
    return film.with_name(f"{film.name}{REASON}")


def _text_of(note: Path) -> str:
    try:
        return note.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _free(path: Path) -> Path:
    """NAME, NAME-2, NAME-3 or so on, the first at which nothing lies; its folder is made."""
    make_folder(path.parent)
    stem = path.stem
    if len(os.fsencode(stem)) > NAME_BYTES:
        stem = os.fsencode(stem)[:NAME_BYTES].decode("utf-8", "ignore")
    for number in count(1):
        place = path.with_name(f"{stem}{'' if number == 1 else f'-{number}'}{path.suffix}")
        if not os.path.lexists(place):
            return place
    raise AssertionError("the numbers never end")
