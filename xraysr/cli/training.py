"""Commands that train: `train`, and `runs`, which compares what was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from xraysr.cli.options import (
    INTERRUPTED,
    FitOption,
    Overwrite,
    Resplit,
    SharedPatients,
    tensorflow,
)
from xraysr.errors import UserError


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Folder of films, or gs://bucket/folder.")
    ] = None,
    pair: Annotated[str, typer.Option("--pair", help="LR:HR size, such as 64:256.")] = "64:256",
    mix: Annotated[
        list[str] | None,
        typer.Option("--mix", help="A further pair of that scale to mix in; may be repeated."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="edge, base or gan: settings to begin with.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length in optimizer steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length in minutes; default 10.")] = None,
    adversarial_share: Annotated[
        float, typer.Option(help="Part of it for the adversarial phase; 0 for best fidelity.")
    ] = 0.25,
    adversarial_from: Annotated[
        str | None, typer.Option(help="Instead of the share: a step, or plateau.")
    ] = None,
    generator: Annotated[
        str, typer.Option(help="srresnet, or edge for small devices.")
    ] = "srresnet",
    init: Annotated[
        str | None, typer.Option(help="Begin with this preset, run or .keras file.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Residual blocks of the generator.")] = 8,
    width: Annotated[int, typer.Option(help="Feature channels of the generator.")] = 32,
    batch_norm: Annotated[bool, typer.Option("--batch-norm", help="Normalise in blocks.")] = False,
    discriminator: Annotated[str, typer.Option(help="patch, or srgan as published.")] = "patch",
    spectral_norm: Annotated[
        bool, typer.Option("--spectral-norm", help="Of the discriminator's convolutions.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
    ] = "float32",
    batch: Annotated[int, typer.Option(help="Images in a step.")] = 16,
    crop: Annotated[int, typer.Option(help="Side of the LR crops in pixels.")] = 24,
    flips: Annotated[
        bool, typer.Option(help="Mirror half of the crops; off where laterality matters.")
    ] = True,
    fit: FitOption = "crop",
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak in the content phase; default 1e-3, or 2e-4 with --init."),
    ] = None,
    adversarial_learning_rate: Annotated[
        float, typer.Option(help="Peak in the adversarial phase.")
    ] = 2e-4,
    content_loss: Annotated[str, typer.Option(help="l1, charbonnier or mse.")] = "l1",
    adversarial_loss: Annotated[
        str, typer.Option(help="bce, least_squares, hinge or relativistic.")
    ] = "bce",
    adversarial_weight: Annotated[float, typer.Option(help="Of the adversarial loss.")] = 2e-3,
    feature_weight: Annotated[float, typer.Option(help="Of the feature loss.")] = 0.0,
    vgg19: Annotated[str | None, typer.Option(help="Weights file for the feature loss.")] = None,
    r1_weight: Annotated[float, typer.Option(help="Of the discriminator's R1 penalty.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="Off the goal for real images.")] = 0.0,
    clip_norm: Annotated[float, typer.Option(help="Largest gradient norm; 0: any.")] = 0.0,
    average_decay: Annotated[float, typer.Option(help="Of the averaged generator.")] = 0.999,
    validate_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 500,
    seed: Annotated[int, typer.Option(help="Of weights and data order.")] = 0,
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
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
) -> None:
    """Train a generator: content phase, then adversarial phase."""
    given = {
        name: value
        for name, value in context.params.items()
        if name not in ("out", "data", "preset", "devices", "cache", "resume", "overwrite")
    }
    given["mix"] = tuple(mix or ())
    if adversarial_from is not None and adversarial_from.isdecimal():
        given["adversarial_from"] = int(adversarial_from)
    if resume:
        _refuse_settings(context, [*given, "preset", "overwrite"])
    elif steps is None and minutes is None:
        given["minutes"] = 10.0
    with tensorflow():
        from xraysr import training

        strategy = training.choose_strategy(devices)
    try:
        if resume:
            run = training.resume_training(out, data, strategy=strategy, cache=cache)
        elif data is None:
            raise UserError("--data is missing: name the folder of films to train on.")
        else:
            if preset is not None:
                given |= _unsaid(context, training.settings_of(preset))
            config = training.TrainConfig(**given)
            run = training.train(
                config, data, out, overwrite=overwrite, strategy=strategy, cache=cache
            )
    except KeyboardInterrupt as stop:
        begun = (out / "data.json").is_file()
        how = f"Go on with: xraysr train --resume --out {out}" if begun else "Nothing was trained."
        print(str(stop) or "Stopped.", how, file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(f"The trained generator is in {run.generator}")


def _refuse_settings(context: typer.Context, names: list[str]) -> None:
    """A resumed run keeps its settings; saying others would have no effect."""
    said = [f"--{name.replace('_', '-')}" for name in names if _is_said(context, name)]
    if said:
        raise UserError(
            f"--resume goes on with the settings in config.json; leave out {', '.join(said)}."
        )


def _unsaid(context: typer.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that the command line does not give itself."""
    return {name: value for name, value in settings.items() if not _is_said(context, name)}


def _is_said(context: typer.Context, name: str) -> bool:
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def runs(
    folder: Annotated[Path, typer.Argument(help="A folder of training runs.")],
) -> None:
    """List runs with their best scores side by side."""
    with tensorflow():
        from xraysr.training.overview import runs_table
    from xraysr.progress import show

    show(runs_table(folder))
