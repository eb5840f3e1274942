"""Runs cases in a process of its own, which may crash, hang or grow; `test_fuzz` starts it.

The last line of its output counts the cases. What a case did wrong is a traceback and code 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from films import Film, bombs, films
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import CHANGES, EVERY_TAG, Change

from xraysr.errors import UserError
from xraysr.io import read_frames
from xraysr.spec import ModelSpec
from xraysr.upscale.batch import upscale_files
from xraysr.upscale.memory import peak_bytes
from xraysr.upscale.upscaler import Upscaler

SECONDS = 60  # for one case
CEILING = 1 << 30  # bytes that the process may ever have held
ADDRESSES = 8 << 30  # bytes that it may ask for
LONGEST = 1000  # characters of a message
SHOWN = 5  # failures of plain cases
READ_BACK = 1 << 22  # pixels of an output that is read again

SCALE = 2
SUFFIXES = (".dcm", ".png", ".tif", ".jpg")
# Without a suffix, for both the film and the output.
NAMES = ("film", "chest x ray", "Тест 胸部", "it's; $(a) 'film'", "n\udcff", "n" * 232, "n" * 251)
GOOD = "ｚ.png"  # a film that is what it says, the last of its folder
DISKS = (None, None, None, None, None, None, 0, 100, 900, 3000)  # bytes until it is full
OLD = b"what was here before"


class Repeat:
    """A runtime that repeats pixels."""

    spec = ModelSpec("repeat", SCALE, receptive_radius=1, weights_sha256="0" * 64)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return batch.repeat(SCALE, axis=1).repeat(SCALE, axis=2)


@dataclass(frozen=True)
class Case:
    """One film, what is done to it, and where it goes.

    Args:
        film: The film.
        change: What is done to it.
        suffix: Of the output.
        name: Of film and output.
        disk: The largest file that can be written, in bytes; None for no limit.
        existing: There was an output before, and it may be replaced.
        folder: It comes in a folder with a good film, which must be enlarged whatever happens.
    """

    film: Film
    change: Change = Change()
    suffix: str = ".dcm"
    name: str = "film"
    disk: int | None = None
    existing: bool = False
    folder: bool = False


class Runner:
    """Runs cases in `folder`, and counts how they end.

    Args:
        folder: An empty folder; while a case runs, its film is in `folder/in`.
    """

    def __init__(self, folder: Path) -> None:
        self.into, self.out, self.scratch = (folder / name for name in ("in", "out", "tmp"))
        for each in (self.into, self.out, self.scratch):
            each.mkdir()
        os.environ["TMPDIR"] = str(self.scratch)
        self.good = next(film.data for film in films(None) if film.name == "png 8")
        self.counts: Counter[str] = Counter(cases=0, results=0, refused=0)

    def __call__(self, case: Case) -> None:
        source = self.into / (case.name + (".dcm" if case.folder else ""))
        target = self.out / (source.name if case.folder else case.name + case.suffix)
        data = case.change(case.film)
        source.write_bytes(data)
        if case.folder:
            (self.into / GOOD).write_bytes(self.good)
        if case.existing and not case.folder:
            target.write_bytes(OLD)
        before = self._there()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            self.counts["cases"] += 1
            self._check(case, source, target, before)
            assert source.read_bytes() == data, "the film was changed"
            assert not list(self.scratch.iterdir()), "temporary files are left"
            if (
                peak_bytes() > CEILING
            ):  # it never falls again: any case that follows would be blamed
                print(f"{peak_bytes() >> 20} MB were held in {case}", file=sys.stderr, flush=True)
                os._exit(1)
        finally:
            faulthandler.cancel_dump_traceback_later()
            for path in (*self.into.iterdir(), *self.out.iterdir()):
                path.unlink()

    def _check(self, case: Case, source: Path, target: Path, before: dict[str, bytes]) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        if case.disk is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.disk, limits[1]))
        try:
            message = _upscale(source, target, case.folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        after = self._there()
        if case.folder:
            assert after.pop(GOOD, None), f"the good film was not enlarged: {message}"
        if message:
            self.counts["refused"] += 1
            assert str(source) in message or str(target) in message, "no file is named: " + message
            plain = message.replace(str(source), "").replace(str(target), "")
            assert plain.isprintable(), f"not one plain line: {message!r}"
            assert len(plain) < LONGEST, f"a message of {len(plain)} characters"
            assert after == before, f"left after an error: {list(after)}"
        else:
            self.counts["results"] += 1
            assert not case.film.hollow, "pixels were made up"
            if case.folder:  # named by what it is: DICOM stays DICOM, the rest becomes PNG
                assert len(after) == 1, f"there is {list(after)}"
                target = target.with_name(next(iter(after)))
                assert target.suffix in (".dcm", ".png"), target.suffix
                assert case.name.startswith(target.stem[:200].removesuffix(".dcm")), target.stem
            assert list(after) == [target.name], f"there is {list(after)}"
            assert case.disk is None or target.stat().st_size <= case.disk, "larger than the disk"
            _read_back(source, target)

    def _there(self) -> dict[str, bytes]:
        """Outputs with their first bytes."""
        found = {}
        for path in self.out.iterdir():
            with path.open("rb") as file:
                found[path.name] = file.read(len(OLD) + 1)
        return found


def _upscale(source: Path, target: Path, folder: bool) -> str:
    """Enlarges the film, or all in its folder; returns the words of an error, or nothing."""
    sources, out = ([source.parent], target.parent) if folder else ([source], target)
    try:
        summary = upscale_files(Upscaler(Repeat()), sources, out, overwrite=True)
    except UserError as error:
        return str(error)
    left_out = [f"{each.path}: {each.reason}" for each in summary.left_out]
    return "; ".join([*summary.skipped, *left_out])


def _read_back(source: Path, target: Path) -> None:
    """The output is a film of the right size, and as TIFF has the film's own pixels, repeated."""
    films = list(read_frames(source))
    if films[0].pixels.size * SCALE**2 > READ_BACK:
        return
    enlarged = list(read_frames(target))
    assert len(enlarged) == len(films), f"{len(enlarged)} of {len(films)} frames"
    for film, large in zip(films, enlarged, strict=True):
        assert large.size == (SCALE * film.size[0], SCALE * film.size[1]), large.size
        if target.suffix == ".tif":
            step = 1 / (255 if film.bits <= 8 else 65535)
            error = np.abs(large.pixels[::SCALE, ::SCALE] - film.pixels).max()
            assert error <= step, f"pixels differ by {error}"


def run_plain(runner: Runner, real: Path | None) -> None:
    """Every film as it is, each tag by itself, and the bombs; all that fail are raised together."""
    every = films(real)
    cases = [Case(film, suffix=suffix) for film in every for suffix in SUFFIXES]
    for film in [film for film in every if film.syntax][::12]:
        cases += [Case(film, Change((tag,)), SUFFIXES[tag.tag % 2]) for tag in EVERY_TAG]
    cases += [Case(film, folder=folder) for film in bombs() for folder in (False, True)]
    failures = []
    for case in cases:
        try:
            runner(case)
        except Exception as error:
            error.add_note(f"in {case}"[:LONGEST])
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(cases)} cases failed", failures[:SHOWN])


def _possible(case: Case) -> Case:
    """A disk that is full has no room for the good film either."""
    return replace(case, disk=None) if case.folder else case


def run_mutated(runner: Runner, real: Path | None, number: int, count: int) -> None:
    """`count` cases that hypothesis makes from the seed `number`; it shortens one that fails."""
    cases = st.builds(
        Case,
        st.sampled_from(films(real)),
        CHANGES,
        st.sampled_from(SUFFIXES),
        st.sampled_from(NAMES),
        st.sampled_from(DISKS),
        st.booleans(),
        st.booleans(),
    ).map(_possible)

    @seed(number)
    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Case) -> None:
        runner(case)

    run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--number", type=int, help="a batch of mutated films; else plain ones")
    parser.add_argument("--count", type=int, default=0)
    options = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    runner = Runner(options.folder)
    if options.number is None:
        run_plain(runner, options.real)
    else:
        run_mutated(runner, options.real, options.number, options.count)
    print(json.dumps({**runner.counts, "peak_MB": peak_bytes() >> 20}))


if __name__ == "__main__":
    main()
