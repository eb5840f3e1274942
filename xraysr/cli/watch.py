"""The command `watch`: a folder whose films are made sharp as they come."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.options import INTERRUPTED, ModelArgument, tensorflow
from xraysr.cli.upscale import with_options
from xraysr.errors import UserError
from xraysr.upscale.options import UpscaleOptions

# What systemd's journal takes for the priority of a line, as in sd-daemon(3).
PRIORITIES = {logging.INFO: "<6>", logging.WARNING: "<4>", logging.ERROR: "<3>"}


@with_options
def watch(
    model: ModelArgument,
    inbox: Annotated[Path, typer.Argument(help="The folder to watch.")],
    out: Annotated[Path, typer.Argument(help="The folder to write to.")],
    every: Annotated[float, typer.Option(help="Seconds between two looks at the folder.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Do what is there, and end.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of a .tflite model; default 2.")
    ] = None,
    memory_mb: Annotated[
        float | None, typer.Option(help="Ceiling in MB for the work of a .tflite model.")
    ] = None,
    options: UpscaleOptions = UpscaleOptions(),  # noqa: B008  it is frozen
) -> None:
    """Make films sharp as they are put into a folder.

    The film moves to INBOX/processed, or to INBOX/quarantine with the reason beside it.
    """
    from xraysr.upscale.upscaler import Upscaler
    from xraysr.upscale.watch import Watch

    tflite = _tflite_of(model)
    if tflite is None and (threads, memory_mb) != (None, None):
        raise UserError(f"--threads and --memory-mb are for .tflite models. Received: {model}")

    def open_model() -> Upscaler:
        with tensorflow():
            if tflite is not None:
                from xraysr.upscale.edge import EdgeUpscaler

                return EdgeUpscaler(tflite, threads=threads or 2, memory_mb=memory_mb)
            from xraysr.upscale import load

            return load(model)

    caught = []

    def stop(number: int, _: object) -> None:
        """The first signal ends it after the film in hand, a second one at once."""
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)
        service.stop()

    service = Watch(open_model, inbox, out, options, every)
    _log_to_stderr()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    left = service.run(once=once)
    if caught[:1] == [signal.SIGINT]:
        raise typer.Exit(INTERRUPTED)
    if once and left:
        raise typer.Exit(1)


def _tflite_of(model: str) -> str | None:
    """The `.tflite` file that opens for `model`, if one does; presets have theirs on a device."""
    from xraysr.presets.card import tflite_path
    from xraysr.upscale.runtimes import has_tensorflow

    if model.endswith(".tflite"):
        return model
    shipped = None if has_tensorflow() or Path(model).exists() else tflite_path(model)
    return str(shipped) if shipped else None


def _log_to_stderr() -> None:
    """One line for each message; the journal adds the time itself, and gets the priority."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalLine() if _is_journal(sys.stderr.fileno()) else None)
    logger = logging.getLogger("xraysr")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def _is_journal(descriptor: int) -> bool:
    """Whether it is connected to the journal, by the variable that systemd sets for that."""
    found = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _JournalLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return PRIORITIES.get(record.levelno, "") + super().format(record)
