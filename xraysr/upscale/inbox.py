"""`Inbox`: a folder that is watched. New film in, sharpened film out; none lost, none twice.

What was done is told by files alone, so the process may be killed at any moment: a film lies in
the inbox until its output is on disk, and beside the output lies the hash of its film. Needs
neither TensorFlow nor Keras.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xraysr.errors import BadImageError, ServerError, UserError
from xraysr.io import Radiograph, read
from xraysr.upscale.inbox_files import (
    Film,
    desk,
    find_films,
    move_to_processed,
    output_of,
    put,
    quarantine,
    tried,
)
from xraysr.upscale.upscaler import Upscaler
from xraysr.version import __version__

TRIES = 3  # at most, where the trouble may pass
WAITS = (15, 150)  # polls until the next try
NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NOTE = "Detail may be synthetic. Research use only; keep the original, and read it."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wait:
    """That a film is tried again at `until`, on the monotonic clock, after `tries` tries."""

    tries: int
    until: float


class Inbox:
    """Sharpens the films that are put into a folder, one after the other.

    INBOX/a/film.dcm becomes OUT/a/film.png with OUT/a/film.png.json, which says what was made of
    what; another film of that name becomes film-2.png. The film itself moves to
    INBOX/processed/a/film.dcm, or to INBOX/quarantine/a/film.dcm with the reason in
    film.dcm.reason.txt when it cannot be used. A film is taken when its size and date stay the
    same from one poll to the next. Hidden files, names ending in .part or .tmp, links and files
    of other kinds are left alone.

    Args:
        open_model: Opens the model; again after an error of the model's.
        inbox: The folder to watch, with its subfolders.
        out: The folder to write to.
        every: Seconds between polls.

    Raises:
        UserError: if the inbox is missing, or one folder lies in the other.
    """

    def __init__(
        self, open_model: Callable[[], Upscaler], inbox: Path, out: Path, every: float = 2.0
    ) -> None:
        self.inbox, self.out, self.every = Path(inbox), Path(out), every
        if not self.inbox.is_dir():
            raise UserError(f"The inbox must be a folder that is there. Received: {inbox}")
        one, other = self.inbox.resolve(), self.out.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise UserError(
                "Inbox and output must be two folders, neither in the other. "
                f"Received: {inbox} and {out}"
            )
        if not every > 0:
            raise UserError(f"The seconds between polls must be more than 0. Received: {every}")
        self._open_model = open_model
        self._upscaler: Upscaler | None = None
        self._seen: set[Film] = set()
        self._said: set[str] = set()
        self._waiting: dict[Film, Wait] = {}
        self._quarantined = 0
        self._disk_is_full = False
        self._stopping = False

    def run(self, *, once: bool = False) -> int:
        """Polls until `stop`, or with `once` twice: films that lie there whole are done.

        No film ends it. One that cannot be used is quarantined at once; one that meets trouble
        which may pass, such as a server that is down, after three tries with growing waits; one
        in the middle of which the process was killed, after the second time. While the disk is
        full they wait.

        Returns:
            How many films were quarantined, or are left because of trouble.

        Raises:
            UserError: if the model cannot be opened, a folder cannot be written to, or another
                process watches the inbox or writes to the output.
        """
        with desk(self.inbox) as self._inbox_desk, desk(self.out) as self._out_desk:
            self._upscaler = self._open_model()
            log.info("%s: watched, with %s", self.inbox, self._upscaler.spec.name)
            self._poll()
            while not self._stopping:
                self._pause()
                self._poll()
                if once:
                    break
        return self._quarantined + len(self._waiting)

    def stop(self) -> None:
        """Ends `run` after the film in hand; a signal handler may call it."""
        self._stopping = True

    def _pause(self) -> None:
        until = time.monotonic() + self.every
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _poll(self) -> None:
        """Takes each film that lay there unchanged at the last poll and has not to wait."""
        films, others = find_films(self.inbox)
        for line in others:
            if line not in self._said:
                self._said.add(line)
                log.warning(line)
        self._waiting = {film: self._waiting[film] for film in films if film in self._waiting}
        for film in films:
            wait = self._waiting.get(film)
            due = wait is None or time.monotonic() >= wait.until
            if due and film in self._seen and not self._stopping:
                self._take(film)
        self._seen = set(films)

    def _take(self, film: Film) -> None:
        """Brings a film to its end, or leaves it for another poll."""
        begun = time.monotonic()
        try:
            digest = film.sha256()
            target, done = output_of(film, digest, self.out)
            if not done:
                self._sharpen(film, digest, target)
            if not film.unchanged():
                return
            move_to_processed(film, self.inbox, self.out)
        except Exception as error:
            self._fail(film, error)
            return
        self._waiting.pop(film, None)
        took = "was there before" if done else f"{time.monotonic() - begun:.2f} s"
        log.info("%s: %s, %s", film.name, target, took)

    def _sharpen(self, film: Film, digest: str, target: Path) -> None:
        with tried(film, self.out):
            radiograph = read(film.path)
            if not film.unchanged():
                raise BadImageError(f"{film.path} changed while it was read")
            image = self._upscale(radiograph)
            put(self._out_desk, target, image, self._card(film, digest))
        self._disk_is_full = False

    def _upscale(self, radiograph: Radiograph) -> Radiograph:
        """Opens the model again where it failed before; that it cannot be opened may pass."""
        if self._upscaler is None:
            try:
                self._upscaler = self._open_model()
            except UserError as error:
                raise ServerError(str(error)) from error
        try:
            return self._upscaler(radiograph)
        except Exception:
            self._upscaler = None
            raise

    def _card(self, film: Film, digest: str) -> dict[str, Any]:
        """What is written beside an output."""
        assert self._upscaler is not None
        return {
            "source": _text(film.name),
            "source_sha256": digest,
            "model": self._upscaler.spec.name,
            "weights_sha256": self._upscaler.spec.weights_sha256,
            "xraysr": __version__,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "note": NOTE,
        }

    def _fail(self, film: Film, error: Exception) -> None:
        """Quarantines a film, or lets it wait when the fault may not be its own."""
        if not film.unchanged():
            return  # still being copied, or taken away: the next polls will tell
        tries = self._waiting[film].tries + 1 if film in self._waiting else 1
        if not _no_disk(error) and (tries >= TRIES or not _may_pass(error)):
            try:
                place = quarantine(film, self.inbox, self.out, self._inbox_desk, _line(error))
            except (OSError, UserError) as another:
                error = another
            else:
                self._waiting.pop(film, None)
                self._quarantined += 1
                log.error("%s: quarantined as %s: %s", film.name, place, _line(error))
                return
        seconds = self.every * WAITS[min(tries, len(WAITS)) - 1]
        self._waiting[film] = Wait(tries, time.monotonic() + seconds)
        if not _no_disk(error):
            log.warning("%s: waits for %.0f s: %s", film.name, seconds, _line(error))
        elif not self._disk_is_full:
            self._disk_is_full = True
            log.error("films wait, because nothing can be written: %s", _line(error))


def _no_disk(error: Exception) -> bool:
    """Whether the disk is full, or read-only."""
    return getattr(error.__cause__ or error, "errno", None) in NO_DISK


def _may_pass(error: Exception) -> bool:
    """Whether another try makes sense: trouble of a server's, or in reading or writing files."""
    file = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
    return isinstance(error, ServerError) or (file and not isinstance(error, BadImageError))


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _text(path: Path) -> str:
    """A path as text that any file may hold, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "replace")
