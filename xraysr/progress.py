"""What a person sees: progress as a bar on a terminal or as plain lines, and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 15.0
LOG_WIDTH = 120


class Rate(ProgressColumn):
    """Items per second over the whole task."""

    def render(self, task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Passes `items` on while it shows how far they are, at what rate, and the time left."""
    console = Console(file=sys.stderr)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            yield from bar.track(items, total=total, description=description)
        return
    started = shown = time.monotonic()
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown > SECONDS_BETWEEN_LINES:
            shown = now
            rate = done / (now - started)
            left = (total - done) / rate
            print(f"{description} {done}/{total} {rate:.1f}/s, {left:.0f} s left", file=sys.stderr)
    print(f"{description} {done}/{total}", file=sys.stderr, flush=True)


class StatusBar:
    """One bar from 0 to 1 with a text that changes, for work without a known item count."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=1.0) if bar else None
        self._shown = -SECONDS_BETWEEN_LINES

    def update(self, fraction: float, text: str) -> None:
        """Moves the bar; off a terminal, prints `text` at most every 15 seconds."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=fraction, description=text)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            self.line(f"{100 * fraction:3.0f}% {text}")

    def line(self, text: str) -> None:
        """Prints a line that stays, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def status_bar() -> Iterator[StatusBar]:
    """A `StatusBar` on stderr for the length of the block."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield StatusBar(None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield StatusBar(bar)


def show(table: Table) -> None:
    """Prints a table on stdout; wide enough to be read where there is no terminal."""
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH).print(table)
