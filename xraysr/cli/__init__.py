"""The command line. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from xraysr.cli.compare import compare
from xraysr.cli.data import phantom, prepare
from xraysr.cli.demo import demo
from xraysr.cli.evaluate import evaluate
from xraysr.cli.export import export
from xraysr.cli.films import films
from xraysr.cli.info import info
from xraysr.cli.options import as_flags
from xraysr.cli.presets import models
from xraysr.cli.training import runs, train
from xraysr.cli.upscale import upscale
from xraysr.cli.watch import watch
from xraysr.errors import UserError

app = typer.Typer(
    name="xraysr",
    help="Super-resolution for radiographs. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS = (
    films,
    prepare,
    train,
    runs,
    evaluate,
    compare,
    upscale,
    watch,
    export,
    models,
    phantom,
    demo,
    info,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr, never a traceback."""
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == "xraysr":
            raise
        _fail(f"this command needs {package}, which is not installed here: pip install {package}")


def _fail(message: str) -> NoReturn:
    print("xraysr:", " ".join(as_flags(message).splitlines()), file=sys.stderr)
    sys.exit(1)
