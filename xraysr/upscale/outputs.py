"""Which output is whose: what made it and of which film is read back from the output itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing, sha256_of
from xraysr.films.walk import Skipped, path_text, stem_of, walk_films
from xraysr.io import IMAGE_SUFFIXES, kind_of
from xraysr.upscale.files import beside
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.upscaler import Upscaler

HEADS = (1 << 16, 1 << 20)  # bytes of a file within which it says what made it: mostly, always
RECORD = re.compile(
    rb"xraysr \S+, (model [ -~]{1,900}?): detail may be synthetic; film sha256 ([0-9a-f]{64})"
)
NAME_BYTES = 200  # leaves room for what is added to a name


class Made(NamedTuple):
    """What an output says of itself: model and options in words, and the hash of its film."""

    maker: str
    source_sha256: str


def made_by(path: Path) -> Made | None:
    """What made the output at `path`, be it an image, a map or a sidecar; None if it says nothing.

    All formats hold `Provenance.record` as plain text before their pixels.
    """
    try:
        with path.open("rb") as file:
            for head in HEADS:
                file.seek(0)
                if found := RECORD.findall(file.read(head)):
                    # The last one: a DICOM file lists what it was made of before.
                    return Made(*(each.decode("ascii") for each in found[-1]))
    except OSError:
        pass
    return None


def output_names(name: Path, dicom: bool) -> Iterator[Path]:
    """The names that the output for the film `name` may have, the best first, without end.

    NAME.dcm for DICOM and NAME.png for others; then with the film's own suffix before that, so
    that `a.jpg` beside `a.png` becomes `a.jpg.png`; then NAME-2, NAME-3 and so on. A name too long
    for what is added to it is cut.
    """
    suffix = ".dcm" if dicom else ".png"
    stem = stem_of(name.name)
    if len(os.fsencode(stem)) > NAME_BYTES:
        stem = os.fsencode(stem)[:NAME_BYTES].decode("utf-8", "ignore")
    yield name.with_name(f"{stem}{suffix}")
    own = name.name[len(stem_of(name.name)) :]
    if own and own.lower() != suffix:
        yield name.with_name(f"{stem}{own}{suffix}")
    for number in count(2):
        yield name.with_name(f"{stem}-{number}{suffix}")


@dataclass(frozen=True)
class Wanted:
    """A film that is to be enlarged.

    Args:
        path: The file.
        name: The path that its output is named after, below the folder of outputs.
        dicom: Whether it is DICOM.
        target: The output, where the user named it.
    """

    path: Path
    name: Path
    dicom: bool
    target: Path | None = None

    @property
    def exact(self) -> bool:
        """Whether its name is that of its first output, which no other film then gets."""
        return next(output_names(self.name, self.dicom)) == self.name

    def places(self, out: Path) -> Iterator[Path]:
        """Where its output may lie."""
        if self.target is not None:
            return iter((self.target,))
        return (out / name for name in output_names(self.name, self.dicom))


def default_output(sources: Sequence[Path], scale: int) -> Path:
    """Where the output of a single film goes if nothing is said: `film_x4.png` beside it."""
    if len(sources) != 1 or not sources[0].is_file():
        raise UserError("Several films need a folder to go to: name one with out.")
    film = sources[0]
    suffix = ".dcm" if _is_dicom(film) else ".png"
    return film.with_name(f"{stem_of(film.name)}_x{scale}{suffix}")


def find_wanted(sources: Sequence[Path], out: Path) -> tuple[list[Wanted], list[Skipped]]:
    """The films of `sources` in order, and what their folders hold besides.

    Args:
        sources: Files, or folders whose films are taken at any depth.
        out: For one file, the file to write or a folder; otherwise a folder.

    Raises:
        UserError: if a source is missing or without films, or `out` cannot take them.
    """
    if missing := [path_text(source) for source in sources if not source.exists()]:
        raise UserError(f"No such file or folder: {', '.join(missing)}")
    if len(sources) == 1 and sources[0].is_file() and out.suffix and not out.is_dir():
        return [Wanted(sources[0], Path(out.name), False, out)], []
    if out.is_file() or out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"Several films need a folder to go to. Received: out={out}")
    wanted, others = [], []
    for source in sources:
        if source.is_file():
            wanted.append(Wanted(source, Path(source.name), _is_dicom(source)))
            continue
        if out.resolve().is_relative_to(source.resolve()):
            raise UserError(
                "The output must not lie in the folder of films, where it would be taken for more "
                f"of them. Received: out={out} for the films in {source}"
            )
        films, skipped = walk_films(source)
        others += skipped
        for film in films:
            name = film.path.relative_to(source)
            wanted.append(Wanted(film.path, name, film.kind == "DICOM"))
    if not wanted:
        seen = "; ".join(map(str, others[:5])) or "it is empty"
        more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
        raise UserError(f"No films in {', '.join(map(path_text, sources))}: {seen}{more}")
    return wanted, others


def _is_dicom(path: Path) -> bool:
    try:
        return kind_of(path) == "DICOM"
    except BadImageError:
        return False  # what is wrong with it is said when it is read


class Job(NamedTuple):
    """A film and the file to write; `replace` where that may replace what is there."""

    source: Path
    target: Path
    replace: bool


class Plan(NamedTuple):
    """What is to be done, and the outputs that are there already."""

    jobs: list[Job]
    kept: list[Path]


def plan_outputs(
    wanted: Sequence[Wanted],
    out: Path,
    upscaler: Upscaler,
    options: UpscaleOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Plan:
    """Gives every film its output; no two share one, and none takes that of another film.

    An output that is there is known by the hash of its film, which it carries: whatever was added
    or taken away since, a film keeps its output.

    Raises:
        UserError: if a file exists that may not be replaced, or a film itself would be.
    """
    makers, made_of = options.makers(upscaler), cache(made_by)
    originals = {film.path.resolve() for film in wanted}
    hashes: dict[Path, str] = {}
    taken: set[str] = set()
    places: dict[int, Path] = {}

    def is_of(path: Path, film: Wanted) -> bool:
        """Whether `path` was made of the film as it is now."""
        made = made_of(path)
        if made is None:
            return False
        if film.path not in hashes:
            hashes[film.path] = sha256_of(film.path)
        return made.source_sha256 == hashes[film.path]

    def take(at: int, place: Path) -> bool:
        names = {str(path).casefold() for path in (place, *beside(place, options))}
        if names & taken:
            return False
        taken.update(names)
        places[at] = place
        return True

    order = sorted(range(len(wanted)), key=lambda at: not wanted[at].exact)
    if overwrite or resume:
        for at in order:
            for number, place in enumerate(wanted[at].places(out)):
                there = os.path.lexists(place)
                if there and is_of(place, wanted[at]) and take(at, place):
                    break
                if number > 1 and not there:
                    break
    for at in order:
        if at not in places:
            next(place for place in wanted[at].places(out) if take(at, place))
    plan = Plan([], [])
    for at, film in enumerate(wanted):
        target = places[at]
        files = (target, *beside(target, options))
        if any(path.resolve() in originals for path in files):
            raise UserError(f"{target} would replace an original film. Name another output.")
        mine = False
        if resume and not overwrite:
            if os.path.lexists(target):
                _refuse_foreign(target, made_of(target), film, makers, is_of(target, film))
                if all(made_of(path) == made_of(target) for path in files):
                    plan.kept.append(target)
                    continue
            found = [is_of(path, film) for path in files if os.path.lexists(path)]
            mine = bool(found) and all(found)
        if not mine:
            for path in files:
                refuse_existing(path, overwrite)
        plan.jobs.append(Job(film.path, target, overwrite or mine))
    return plan


def _refuse_foreign(
    target: Path, made: Made | None, film: Wanted, makers: frozenset[str], same_film: bool
) -> None:
    """Refuses to keep an output that something else made."""
    if made is None:
        what = "does not say what made it"
    elif not same_film:
        what = f"was made of another film than {path_text(film.path)}, or before that changed"
    elif made.maker not in makers:
        what = f"was made by {made.maker}; asked for is {' or '.join(sorted(makers))}"
    else:
        return
    raise UserError(f"{target} {what}. Name another, or pass overwrite=True to make it anew.")
