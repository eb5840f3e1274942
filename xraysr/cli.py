"""The command line. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from xraysr.errors import UserError

app = typer.Typer(
    name="xraysr",
    help="Super-resolution for radiographs. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130

DataOption = Annotated[Path, typer.Option("--data", help="Folder of films, any depth.")]
PairOption = Annotated[str, typer.Option("--pair", help="LR:HR size, such as 64:256.")]
FitOption = Annotated[
    str, typer.Option(help="How films are fitted to HR size: crop, pad or stretch.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Resplit = Annotated[
    bool, typer.Option("--resplit", help="Merge the split folders and split anew by patient.")
]
SharedPatients = Annotated[
    bool,
    typer.Option("--allow-shared-patients", help="Accept patients in both train and test."),
]
ModelArgument = Annotated[
    Path, typer.Argument(help="A .keras or .tflite file, a SavedModel or a run folder.")
]


def main() -> None:
    """Entry point: a user's mistake is one line on stderr, never a traceback."""
    try:
        app()
    except UserError as error:
        print("xraysr:", " ".join(str(error).splitlines()), file=sys.stderr)
        sys.exit(1)


@contextmanager
def _tensorflow() -> Iterator[None]:
    """Hides what TensorFlow prints while it is imported; its log level variable no longer does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of films.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write.")],
    pair: Annotated[list[str], typer.Option("--pair", help="LR:HR size; may be repeated.")],
    fit: FitOption = "crop",
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
    workers: Annotated[int | None, typer.Option(help="Processes; default: all cores.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write LR and HR folders for one or more pairs of sizes."""
    from xraysr.data.prepare import prepare as run

    try:
        manifest = run(
            source,
            destination,
            pair,
            fit=fit,
            resplit=resplit,
            allow_shared_patients=allow_shared_patients,
            workers=workers,
            overwrite=overwrite,
        )
    except KeyboardInterrupt:
        print("Stopped. What is written is whole; the same command goes on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(manifest.summary())


@app.command()
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
    with _tensorflow():
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


@app.command()
def evaluate(
    model: Annotated[list[Path], typer.Argument(help="Models, of any format, to compare.")],
    data: DataOption,
    pair: PairOption,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    fit: FitOption = "crop",
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where to write the scores, film by film.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table in Markdown.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Score models on films, beside bicubic and Lanczos interpolation."""
    from xraysr.data.index import index_films
    from xraysr.data.patients import SPLITS
    from xraysr.files import refuse_existing

    json_file = json_file or Path(f"{model[0].stem}-{Path(data).name}-{split}.json")
    refuse_existing(json_file, overwrite)
    if split not in (*SPLITS, "all"):
        raise UserError(f"--split must be {', '.join(SPLITS)} or all. Received: {split}")
    index = index_films(data, resplit=resplit, allow_shared_patients=allow_shared_patients)
    films = index.films if split == "all" else index.require(split)
    with _tensorflow():
        from xraysr.evaluation.evaluate import evaluate as run
        from xraysr.upscale import load

        upscalers = {_row_name(path, model): load(path) for path in model}
    report = run(upscalers, films, pair, fit)
    if markdown:
        print(report.markdown())
    else:
        report.show()
    report.save(json_file)
    for skipped in report.skipped:
        print(f"skipped: {skipped}", file=sys.stderr)
    print(f"Film by film: {json_file}", file=sys.stderr)


def _row_name(path: Path, others: list[Path]) -> str:
    """The stem of a model's file, or its path where two would be the same."""
    same = [other for other in others if other.stem == path.stem]
    return path.stem if len(same) == 1 else str(path)


@app.command()
def upscale(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A file for one image, or a folder.")],
    overwrite: Overwrite = False,
) -> None:
    """Make low-resolution films sharp."""
    with _tensorflow():
        from xraysr.upscale import load

        upscaler = load(model)
    from xraysr.upscale.batch import upscale_files

    skipped = upscale_files(upscaler, images, out, overwrite=overwrite)
    for each in skipped:
        print(f"skipped: {each}", file=sys.stderr)
    if skipped:
        raise typer.Exit(1)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A .keras file or a run folder.")],
    out: Annotated[Path, typer.Argument(help="The folder or .tflite file to write.")],
    format: Annotated[str, typer.Option("--format", help="saved_model or tflite.")],
    overwrite: Overwrite = False,
) -> None:
    """Export a trained generator and check it against Keras."""
    with _tensorflow():
        from xraysr.export import ParityError, export_model

        try:
            difference = export_model(model, out, format, overwrite=overwrite)
        except ParityError as error:
            raise UserError(str(error)) from error
    print(f"{out}: differs from Keras by {difference:.1e} at most")


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of films.")] = 16,
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the first film.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write synthetic chest films, to try things without data. Their scores are not clinical."""
    from xraysr.data.phantom import write_phantoms
    from xraysr.files import refuse_existing

    refuse_existing(out / "phantoms.json", overwrite)
    write_phantoms(out, count, size, seed, workers=os.cpu_count() or 1)
    print(f"{count} phantoms in {out}")


@app.command()
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
    with _tensorflow():
        from xraysr.demo import demo as run

    try:
        run(out, data, pair, minutes, overwrite=overwrite)
    except KeyboardInterrupt:
        print("Stopped. Run it again with --overwrite.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
