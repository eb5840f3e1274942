"""Many films through one `Upscaler`: no bad one stops the others, and processes share the work."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean

from xraysr.errors import BadImageError, UserError
from xraysr.files import locked
from xraysr.films.walk import Skipped, path_text
from xraysr.progress import track
from xraysr.upscale.files import Enlarged, Source, enlarge_file
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.outputs import Job, find_wanted, plan_outputs
from xraysr.upscale.upscaler import Upscaler

READERS = 2  # films read ahead while one is enlarged
SHOWN = 10  # films, or files left out, that are listed one by one


@dataclass
class Summary:
    """What became of the films.

    Args:
        done: What was enlarged.
        skipped: The reason for each film that was skipped.
        kept: Outputs that were there before.
        left_out: What folders hold that is not a film.
    """

    done: list[Enlarged] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    left_out: list[Skipped] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary for people: LR-consistency film by film where there are few."""
        worst = {each.target: min(each.lr_consistency) for each in self.done}
        lines = [
            f"{path_text(each.target)}: LR-consistency {worst[each.target]:.1f} dB"
            + (f", by {each.model}: {each.why}" if each.why else "")
            for each in self.done
        ]
        if len(lines) > SHOWN:
            path = min(worst, key=lambda path: worst[path])
            lines = [
                f"{len(lines)} films, LR-consistency {mean(worst.values()):.1f} dB on average, "
                f"{worst[path]:.1f} dB at worst ({path_text(path)})"
            ]
            if any(each.why for each in self.done):
                taken = Counter(each.model for each in self.done)
                lines.append("by " + ", ".join(f"{m} {n}" for m, n in taken.most_common()))
        if self.kept:
            films = "film was" if len(self.kept) == 1 else "films were"
            lines.append(f"{len(self.kept)} {films} there before")
        codes = Counter(notice.code for each in self.done for notice in each.notices)
        if codes:
            counted = ", ".join(f"{n} {code}" for code, n in sorted(codes.items()))
            lines.append(f"notices: {counted}")
        return lines

    def remarks(self) -> list[str]:
        """What to know besides: notices film by film, what was left out, what was skipped."""
        lines = [
            f"{path_text(each.source)}: notice {n}" for each in self.done for n in each.notices
        ]
        lines += [f"left out: {each}" for each in self.left_out[:SHOWN]]
        if more := Counter(each.reason for each in self.left_out[SHOWN:]):
            counted = "; ".join(f"{n} {reason}" for reason, n in more.most_common())
            lines.append(f"also left out: {counted}")
        return lines + [f"skipped: {each}" for each in self.skipped]


def upscale_files(
    upscaler: Upscaler,
    sources: Sequence[Path],
    out: Path,
    options: UpscaleOptions | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Summary:
    """Enlarges films on disk, each as `enlarge_file` does.

    Several processes may write to one folder, each with `resume`: they share the films.

    Args:
        upscaler: The model.
        sources: Files, or folders whose films are taken at any depth.
        out: For one film, the file to write (its suffix says the format) or a folder; otherwise
            a folder, where each film goes under the path it had: DICOM as NAME.dcm, others as
            NAME.png; see `output_names` for films of one name.
        options: How they are enlarged.
        overwrite: Replace existing outputs, but never a source.
        resume: Keep the outputs that this model made with these options, and go on with the
            others.

    Raises:
        UserError: if nothing can be enlarged at all, or an output exists or is a source.
    """
    options = options or UpscaleOptions()
    out = Path(out)
    wanted, left_out = find_wanted([Path(source) for source in sources], out)
    jobs, kept = plan_outputs(wanted, out, upscaler, options, overwrite=overwrite, resume=resume)
    summary = Summary(kept=kept, left_out=left_out)

    def take(job: Job, opened: Callable[[], Source], *, wait: bool = False) -> None:
        try:
            film = opened()
            with locked(_lock_of(job.target), wait=wait) as held:
                if not held:
                    busy.append(job)
                elif job.target.exists() and not job.replace:  # another process was faster
                    summary.kept.append(job.target)
                else:
                    done = enlarge_file(upscaler, film, job.target, options, overwrite=job.replace)
                    summary.done.append(done)
        except BadImageError as error:
            summary.skipped.append(str(error))

    busy: list[Job] = []
    for job, opened in track(_read_ahead(jobs, options), "Upscaling", len(jobs)):
        take(job, opened.result)
    for job in busy:  # done when that process lets go, unless it was killed
        take(job, partial(Source.open, job.source, options), wait=True)
    if len(summary.skipped) == len(wanted):
        raise UserError("Nothing was enlarged: " + "; ".join(summary.skipped))
    return summary


def _read_ahead(
    jobs: Iterable[Job], options: UpscaleOptions
) -> Iterator[tuple[Job, Future[Source]]]:
    """Each job with its film, which other threads read meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        waiting: deque[tuple[Job, Future[Source]]] = deque()
        for job in jobs:
            waiting.append((job, pool.submit(Source.open, job.source, options)))
            if len(waiting) > READERS:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _lock_of(target: Path) -> Path:
    """What a process holds while it has the film for `target` in hand."""
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()
    return target.with_name(f".{name[:16]}.lock")
