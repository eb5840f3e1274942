"""Commands that train: `train`, whose flags are the fields of `TrainConfig`, and `runs`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from xraysr.cli.options import INTERRUPTED, Overwrite, tensorflow
from xraysr.errors import UserError
from xraysr.training.config import TrainConfig, kinds_of, settings_of


def train_command(config_class: type[TrainConfig] = TrainConfig) -> Callable[..., None]:
    """The command `train` with one option for each field of `config_class`."""
    settings = [_option(each) for each in _fields(config_class)]
    names = {each.name for each in settings}

    def train(
        context: typer.Context,
        out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
        data: Annotated[
            str | None, typer.Option("--data", help="Folder of films, or gs://bucket/folder.")
        ] = None,
        preset: Annotated[
            str | None, typer.Option(help="edge, base or gan: settings to begin with.")
        ] = None,
        devices: Annotated[
            int | None, typer.Option(help="GPUs of this machine, or parts of its CPU.")
        ] = None,
        cache: Annotated[
            Path | None, typer.Option(help="Folder for decoded films, if memory is too small.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")
        ] = False,
        overwrite: Overwrite = False,
        **given: Any,
    ) -> None:
        """Train a generator: content phase, then adversarial phase."""
        said = {name: given[name] for name in names if _is_said(context, name)}
        if resume:
            _refuse_settings(context, [*said, "preset", "overwrite"])
        elif data is None:
            raise UserError("--data is missing: name the folder of films to train on.")
        else:
            config = config_class(**{**(settings_of(preset) if preset else {}), **_values(said)})
        with tensorflow():
            from xraysr import training

            strategy = training.choose_strategy(devices)
        try:
            if resume:
                run = training.resume_training(out, data, strategy=strategy, cache=cache)
            else:
                run = training.train(
                    config, data, out, overwrite=overwrite, strategy=strategy, cache=cache
                )
        except KeyboardInterrupt as stop:
            begun = (out / "data.json").is_file()
            how = f"Go on with: xraysr train --resume --out {out}" if begun else ""
            print(str(stop) or "Stopped.", how or "Nothing was trained.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        print(f"The trained generator is in {run.generator}")

    own = [each for each in inspect.signature(train, eval_str=True).parameters.values()][:-1]
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    train.__signature__ = inspect.Signature([*keyword[:3], *settings, *keyword[3:]])  # type: ignore[attr-defined]
    train.__annotations__ = {}  # typer looks at the signature
    return train


def _fields(config_class: type[TrainConfig]) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(config_class)
    return [(each.name, each, hints[each.name]) for each in fields(config_class)]


def _option(setting: tuple[str, Any, Any]) -> inspect.Parameter:
    """The option of one field of `TrainConfig`: its type, default and help."""
    name, field, hint = setting
    kinds = kinds_of(hint)
    several = get_origin(kinds[0]) is tuple
    if several:
        kind: Any = list[str]
    elif len({*kinds} - {type(None)}) == 1 and kinds[0] in (int, float, bool):
        kind = kinds[0]
    else:
        kind = str
    optional = type(None) in kinds or several
    flag = "--" + name.replace("_", "-")
    if kind is bool:
        flag += f"/--no-{flag[2:]}"
    allowed = field.metadata["allowed"]
    help = field.metadata["help"]
    if allowed.choices:
        help = f"{help.rstrip('.')}: {allowed}."
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if optional else field.default,
        annotation=Annotated[kind | None if optional else kind, typer.Option(flag, help=help)],
    )


def _values(said: dict[str, Any]) -> dict[str, Any]:
    """What the command line gives as settings take it: a number of steps is a number."""
    start = said.get("adversarial_from")
    if isinstance(start, str) and start.isdecimal():
        said = {**said, "adversarial_from": int(start)}
    return said


def _refuse_settings(context: typer.Context, names: list[str]) -> None:
    """A resumed run keeps its settings; saying others would have no effect."""
    said = [f"--{name.replace('_', '-')}" for name in names if _is_said(context, name)]
    if said:
        raise UserError(
            f"--resume goes on with the settings in config.json; leave out {', '.join(said)}."
        )


def _is_said(context: typer.Context, name: str) -> bool:
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


train = train_command()


def runs(
    folder: Annotated[Path, typer.Argument(help="A folder of training runs.")],
) -> None:
    """List runs with their best scores side by side."""
    with tensorflow():
        from xraysr.training.overview import runs_table
    from xraysr.progress import show

    show(runs_table(folder))
