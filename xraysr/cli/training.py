"""Commands that train: `train`, and `runs`, which compares what was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

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
    data: Annotated[Path | None, typer.Option("--data", help="Folder of films.")] = None,
    pair: Annotated[str, typer.Option("--pair", help="LR:HR size, such as 64:256.")] = "64:256",
    steps: Annotated[int | None, typer.Option(help="Length in optimizer steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length in minutes; default 10.")] = None,
    adversarial_share: Annotated[
        float, typer.Option(help="Part of it for the adversarial phase; 0 for best fidelity.")
    ] = 0.25,
    depth: Annotated[int, typer.Option(help="Residual blocks of the generator.")] = 8,
    width: Annotated[int, typer.Option(help="Feature channels of the generator.")] = 32,
    batch_norm: Annotated[bool, typer.Option("--batch-norm", help="Normalise in blocks.")] = False,
    discriminator: Annotated[str, typer.Option(help="patch, or srgan as published.")] = "patch",
    batch: Annotated[int, typer.Option(help="Images in a step.")] = 16,
    crop: Annotated[int, typer.Option(help="Side of the LR crops in pixels.")] = 24,
    flips: Annotated[
        bool, typer.Option(help="Mirror half of the crops; off where laterality matters.")
    ] = True,
    fit: FitOption = "crop",
    learning_rate: Annotated[float, typer.Option(help="Peak in the content phase.")] = 1e-3,
    adversarial_learning_rate: Annotated[
        float, typer.Option(help="Peak in the adversarial phase.")
    ] = 2e-4,
    adversarial_weight: Annotated[float, typer.Option(help="Of the adversarial loss.")] = 5e-3,
    feature_weight: Annotated[float, typer.Option(help="Of the feature loss.")] = 0.0,
    vgg19: Annotated[str | None, typer.Option(help="Weights file for the feature loss.")] = None,
    validate_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 500,
    seed: Annotated[int, typer.Option(help="Of weights and data order.")] = 0,
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a generator: content phase, then adversarial phase."""
    given = {
        name: value
        for name, value in context.params.items()
        if name not in ("out", "data", "resume", "overwrite")
    }
    if resume:
        _refuse_settings(context, [*given, "overwrite"])
    elif steps is None and minutes is None:
        given["minutes"] = 10.0
    with tensorflow():
        from xraysr import training
    try:
        if resume:
            run = training.resume_training(out, data)
        elif data is None:
            raise UserError("--data is missing: name the folder of films to train on.")
        else:
            run = training.train(training.TrainConfig(**given), data, out, overwrite=overwrite)
    except KeyboardInterrupt as stop:
        begun = (out / "data.json").is_file()
        how = f"Go on with: xraysr train --resume --out {out}" if begun else "Nothing was trained."
        print(str(stop) or "Stopped.", how, file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(f"The trained generator is in {run.generator}")


def _refuse_settings(context: typer.Context, names: list[str]) -> None:
    """A resumed run keeps its settings; saying others would have no effect."""
    said = [
        f"--{name.replace('_', '-')}"
        for name in names
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if said:
        raise UserError(
            f"--resume goes on with the settings in config.json; leave out {', '.join(said)}."
        )
