"""The command `demo`: the whole of xraysr in a few minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.options import INTERRUPTED, Overwrite, tensorflow


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("demo"),
    data: Annotated[
        Path | None, typer.Option("--data", help="Your films; default: phantoms.")
    ] = None,
    pair: Annotated[str, typer.Option("--pair", help="LR:HR size.")] = "64:256",
    minutes: Annotated[float, typer.Option(help="Training time.")] = 2.5,
    overwrite: Overwrite = False,
) -> None:
    """Train, compare, export and draw, from films to a picture, in a few minutes."""
    with tensorflow():
        from xraysr.demo import demo as run

    try:
        run(out, data, pair, minutes, overwrite=overwrite)
    except KeyboardInterrupt:
        print("Stopped. Run it again with --overwrite.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
