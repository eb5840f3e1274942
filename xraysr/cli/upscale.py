"""The command `upscale`, and the options that it shares with `watch`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from xraysr.cli.options import INTERRUPTED, ModelArgument, Overwrite, as_flags, tensorflow
from xraysr.errors import UserError
from xraysr.upscale.options import UpscaleOptions

Command = Callable[..., None]


def with_options(command: Command) -> Command:
    """`command`, whose last argument is `options`, with a flag for each of their fields."""
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[:-1]
    names = [each.name for each in fields(UpscaleOptions)]

    def run(**given: Any) -> None:
        said = {name: given.pop(name) for name in names}
        command(**given, options=UpscaleOptions(**said | {"value_range": _range(said)}))

    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    run.__signature__ = signature.replace(parameters=[*keyword, *_flags()])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {}  # typer looks at the signature
    return run


def _flags() -> list[inspect.Parameter]:
    """One for each field, with the sentence that the docstring has for it."""
    text = inspect.getdoc(UpscaleOptions) or ""
    helps = dict(re.findall(r"^    (\w+): (.+?)(?=^    \w|\Z)", text, re.MULTILINE | re.DOTALL))
    kinds = get_type_hints(UpscaleOptions)
    found = []
    for field in fields(UpscaleOptions):
        kind: Any = kinds[field.name]
        flag = "--" + field.name.replace("_", "-")
        help = " ".join(helps.get(field.name, "").split())
        if field.name == "value_range":
            kind, flag, help = str | None, "--range", f"{help} Such as -1000:3000."
        option: Any = Annotated[kind, typer.Option(flag, help=help)]
        found.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=option,
            )
        )
    return found


def _range(said: dict[str, Any]) -> tuple[float, float] | None:
    text = said["value_range"]
    if text is None:
        return None
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = 0.0, 0.0
    if not found[0] < found[1]:
        raise UserError(f"--range must be LOW:HIGH, such as -1000:3000. Received: {text}")
    return found


@with_options
def upscale(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A file for one image, or a folder; default for one: NAME_x4 beside it.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep outputs that this model made with these options; go on with the others.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    options: UpscaleOptions = UpscaleOptions(),  # noqa: B008  it is frozen
) -> None:
    """Make low-resolution films sharp. DICOM stays DICOM in a folder, and what -o ends in."""
    with tensorflow():
        from xraysr.upscale import load

        upscaler = load(model)
    from xraysr.upscale.batch import upscale_files
    from xraysr.upscale.outputs import default_output

    out = out or default_output(images, upscaler.scale)
    try:
        summary = upscale_files(upscaler, images, out, options, overwrite=overwrite, resume=resume)
    except KeyboardInterrupt:
        print("Stopped. What is written is whole; --resume goes on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    for line in summary.lines():
        print(line)
    for line in summary.remarks():
        print(as_flags(line), file=sys.stderr)
    if summary.skipped:
        raise typer.Exit(1)
