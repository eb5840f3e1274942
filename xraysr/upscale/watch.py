"""`Watch`: a folder that is watched. New film in, sharpened film out; none lost, none twice.

What was done is told by files alone, so the process may be killed at any moment: a film lies in
the inbox until its output is on disk, and beside the output lies the hash of its film. Needs
neither TensorFlow nor Keras.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import is_disk_fault
from xraysr.films.walk import path_text
from xraysr.upscale.files import Enlarged, Source, enlarge_file
from xraysr.upscale.inbox import Film, Inbox
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.upscaler import Upscaler

TRIES = 3  # at most, where other films go through
WAITS = (15, 150)  # polls until the next try

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wait:
    """That a film is tried again.

    Args:
        tries: How often it was tried.
        until: When it is due, on the monotonic clock.
        done: How many films had been enlarged when it failed first.
    """

    tries: int
    until: float
    done: int


class Watch:
    """Sharpens the films that are put into a folder, one after the other; see `Inbox`.

    A film is taken when its size and date stay the same from one poll to the next. One that
    cannot be read is tried again after 15 polls, as its copier may have paused, and then put
    aside; it comes back when it has grown.

    Args:
        open_model: Opens the model; again after an error of the model's.
        inbox: The folder to watch, with its subfolders.
        out: The folder to write to.
        options: How films are enlarged.
        every: Seconds between polls.

    Raises:
        UserError: if the inbox is missing, or one folder lies in the other.
    """

    def __init__(
        self,
        open_model: Callable[[], Upscaler],
        inbox: Path,
        out: Path,
        options: UpscaleOptions | None = None,
        every: float = 2.0,
    ) -> None:
        self.inbox, self.options, self.every = Inbox(inbox, out), options or UpscaleOptions(), every
        if not every > 0:
            raise UserError(f"The seconds between polls must be more than 0. Received: {every}")
        self._open_model = open_model
        self._upscaler: Upscaler | None = None
        self._makers: frozenset[str] = frozenset()
        self._seen: set[Film] = set()
        self._said: set[str] = set()
        self._waiting: dict[Film, Wait] = {}
        self._done = self._quarantined = 0
        self._disk_is_full = self._stopping = self._once = False

    def run(self, *, once: bool = False) -> int:
        """Polls until `stop`, or with `once` twice: films that lie there whole are done.

        No film ends it. One that cannot be used is quarantined. Where the fault may be another's,
        such as of a server that is down, a model that is broken, a package that is missing or a
        disk that is full, films wait; only one that fails three times while others go through is
        quarantined, and one in the middle of which the process was killed twice.

        Returns:
            How many films were quarantined, or are left because of trouble.

        Raises:
            UserError: if the model cannot be opened, a folder cannot be written to, or another
                process watches the inbox or writes to the output.
        """
        self._once = once
        with self.inbox.locked():
            upscaler = self._model()
            models = " or ".join(each.spec.name for each in upscaler.candidates)
            log.info("%s: watched, with %s", self.inbox.folder, models)
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

    def _model(self) -> Upscaler:
        """The model, which is opened where it failed before."""
        if self._upscaler is None:
            upscaler = self._open_model()
            self.options.applied(upscaler)  # that they fit is known before a film comes
            self._makers = self.options.makers(upscaler)
            self._upscaler = upscaler
        return self._upscaler

    def _pause(self) -> None:
        until = time.monotonic() + self.every
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _poll(self) -> None:
        """Takes each film that lay there unchanged at the last poll and does not have to wait."""
        try:
            for path in self.inbox.bring_back_grown():
                log.info("%s: has grown in quarantine, and is tried again", path)
        except (OSError, UserError) as error:
            log.warning("films cannot be brought back from quarantine: %s", _line(error))
        films, others = self.inbox.films()
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
        done: Enlarged | None = None
        try:
            digest = film.sha256()
            self._model()
            target, there = self.inbox.output_of(film, digest, self._makers, self.options)
            if not there:
                done = self._sharpen(film, digest, target)
            if not film.unchanged():
                return
            self.inbox.move_to_processed(film)
        except Exception as error:
            self._fail(film, error)
            return
        self._waiting.pop(film, None)
        took = f"{time.monotonic() - begun:.2f} s" if done else "was there before"
        took += f", by {done.model}: {done.why}" if done and done.why else ""
        log.info("%s: %s, %s", film.name, target, took)
        for notice in done.notices if done else ():
            log.warning("%s: notice %s", film.name, notice)

    def _sharpen(self, film: Film, digest: str, target: Path) -> Enlarged:
        with self.inbox.tried(film):
            source = Source.open(film.path, self.options, digest)
            if not film.unchanged():
                raise BadImageError(f"{film.path} changed while it was read")
            upscaler = self._model()
            try:
                done = enlarge_file(
                    upscaler,
                    source,
                    self.inbox.work / target.name,
                    self.options,
                    overwrite=True,
                    sidecar=path_text(film.name),
                )
            except BadImageError:
                raise
            except Exception:
                self._upscaler = None
                raise
            self.inbox.put(done, target)
        self._done += 1
        self._disk_is_full = False
        return done

    def _fail(self, film: Film, error: Exception) -> None:
        """Quarantines a film, or lets it wait when the fault may not be its own."""
        if not film.unchanged():
            return  # still being copied, or taken away: the next polls will tell
        wait = self._waiting.get(film)
        tries, before = (wait.tries + 1, wait.done) if wait else (1, self._done)
        if isinstance(error, BadImageError) and not _is_missing_package(error):
            hopeless = self._once or tries > 1
        else:
            hopeless = tries >= TRIES and self._done > before and not is_disk_fault(error)
        if hopeless:
            try:
                place = self.inbox.quarantine(film, _line(error))
            except (OSError, UserError) as another:
                error = another
            else:
                self._waiting.pop(film, None)
                self._quarantined += 1
                log.error("%s: quarantined as %s: %s", film.name, place, _line(error))
                return
        seconds = self.every * WAITS[min(tries, len(WAITS)) - 1]
        self._waiting[film] = Wait(tries, time.monotonic() + seconds, before)
        if not is_disk_fault(error):
            log.warning("%s: waits for %.0f s: %s", film.name, seconds, _line(error))
        elif not self._disk_is_full:
            self._disk_is_full = True
            log.error("films wait, because nothing can be written: %s", _line(error))


def _is_missing_package(error: Exception) -> bool:
    """Whether a film cannot be read only since something is not installed here."""
    return "pip install" in str(error)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
