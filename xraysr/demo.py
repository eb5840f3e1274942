"""The whole of xraysr in a few minutes: films, training, comparison, export, a picture."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from xraysr.errors import UserError
from xraysr.evaluation.evaluate import evaluate
from xraysr.evaluation.picture import draw_comparison
from xraysr.evaluation.report import Report
from xraysr.export import export_model
from xraysr.files import write_json
from xraysr.films.index import index_films
from xraysr.pair import Pair
from xraysr.phantom.film import write_phantoms
from xraysr.training import TrainConfig, train
from xraysr.upscale import load

PHANTOMS = {"train": 96, "val": 8, "test": 16}
# What a demo writes; the first one is written first, and says that the others are a demo's.
MARK, *RESULTS = ("demo.json", "phantoms", "run", "export", "scores.json", "comparison.png")


def demo(
    out: Path, data: Path | None, pair: str, minutes: float, *, overwrite: bool = False
) -> Report:
    """Trains both phases, prints the comparison, exports, and draws `comparison.png`.

    Args:
        out: Folder for everything it writes.
        data: Folder of films; None makes phantoms.
        pair: LR and HR size.
        minutes: Training time.
        overwrite: Replace an earlier demo in `out`; other files there stay.

    Raises:
        UserError: for a mistake in the arguments or the films, before anything is removed.
    """
    out, sizes = Path(out), Pair.parse(pair)
    config = TrainConfig(sizes, minutes=minutes, crop=min(24, *sizes.lr), validate_every=250)
    if data is not None:
        _check_data(Path(data), out)
    _clear(out, overwrite)
    write_json(
        out / MARK, {"pair": str(sizes), "minutes": minutes, "data": str(data or "phantoms")}
    )
    data = _phantoms(out / "phantoms") if data is None else Path(data)
    films = index_films(data).require("test")
    run = train(config, data, out / "run")
    models = {"GAN": load(run.generator)}
    if run.content_generator.is_file():  # a run of seconds may end before its second phase
        models = {"content": load(run.content_generator), **models}
    report = evaluate(models, films, sizes)
    report.show()
    for skipped in report.skipped:
        print(f"skipped: {skipped}")
    report.save(out / "scores.json")
    for format, name in (("saved_model", "served"), ("tflite", "generator.tflite")):
        print(export_model(run.path, out / "export" / name, format).summary())
    draw_comparison(out / "comparison.png", models, films, sizes)
    print(f"The picture: {out / 'comparison.png'}")
    return report


def _check_data(data: Path, out: Path) -> None:
    """Refuses films that cannot be tested on, or that the demo would remove or add to."""
    index_films(data).require("test")
    if data.resolve().is_relative_to(out.resolve()) or out.resolve().is_relative_to(data.resolve()):
        raise UserError(
            f"data and out must lie in different folders, neither inside the other. Received: "
            f"data={data}, out={out}"
        )


def _clear(out: Path, overwrite: bool) -> None:
    """Removes what an earlier demo left in `out`, and nothing else."""
    left = [out / name for name in RESULTS if (out / name).exists()]
    if left and not (out / MARK).is_file():
        raise UserError(
            f"{left[0]} is not from a demo, and would be replaced. Name another folder as out."
        )
    if left and not overwrite:
        raise UserError(f"{out} holds an earlier demo. Pass overwrite=True to replace it.")
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _phantoms(folder: Path) -> Path:
    """Phantoms in train, val and test folders, made on all cores."""
    first = 0
    for split, count in PHANTOMS.items():
        write_phantoms(folder / split, count, seed=first, workers=os.cpu_count() or 1)
        first += count
    return folder
