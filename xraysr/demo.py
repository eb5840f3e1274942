"""The whole of xraysr in a few minutes: films, training, comparison, export, a picture."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from xraysr import plots
from xraysr.data.index import index_films
from xraysr.data.phantom import write_phantoms
from xraysr.data.pipeline import film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import enlarge, evaluate, to_float
from xraysr.evaluation.metrics import psnr
from xraysr.evaluation.report import Report
from xraysr.export import export_model
from xraysr.files import make_folder
from xraysr.pair import Pair
from xraysr.training import TrainConfig, train
from xraysr.upscale import Upscaler, load

PHANTOMS = {"train": 96, "val": 8, "test": 16}


def demo(
    out: Path, data: Path | None, pair: str, minutes: float, *, overwrite: bool = False
) -> Report:
    """Trains both phases, prints the comparison, exports, and draws `comparison.png`.

    Args:
        out: Folder for everything it writes.
        data: Folder of films; None makes phantoms.
        pair: LR and HR size.
        minutes: Training time.
        overwrite: Replace an earlier demo in `out`.
    """
    out, sizes = Path(out), Pair.parse(pair)
    _clear(out, overwrite)
    if data is None:
        data = _phantoms(out / "phantoms")
    config = TrainConfig(sizes, minutes=minutes, crop=min(24, *sizes.lr), validate_every=250)
    run = train(config, data, out / "run")
    models = {"content": load(run.content_generator), "GAN": load(run.generator)}
    films = index_films(data).require("test")
    report = evaluate(models, films, sizes)
    report.show()
    report.save(out / "scores.json")
    for format, name in (("saved_model", "saved_model"), ("tflite", "generator.tflite")):
        difference = export_model(run.path, out / "export" / name, format)
        print(f"{out / 'export' / name}: differs from Keras by {difference:.1e} at most")
    draw_comparison(out / "comparison.png", models, films[:1], sizes, report.degradation)
    print(f"The picture: {out / 'comparison.png'}")
    return report


def draw_comparison(path, models: dict[str, Upscaler], films, pair: Pair, degradation: str) -> None:
    """Draws the first of `films`: LR, interpolation, the models, HR, with zoom and error."""
    stored = next(iter(film_pairs(films, pair, "crop", [])))
    lr, hr = to_float(stored)
    images = {"LR": lr.repeat(pair.scale, axis=0).repeat(pair.scale, axis=1)}
    images |= enlarge(models, lr, pair)
    panels = [
        plots.Panel(name, image, psnr(image, hr, pair.scale)) for name, image in images.items()
    ]
    title = f"{pair}, {stored.film.name}; LR by {degradation}"
    plots.comparison(path, [*panels, plots.Panel("HR", hr)], hr, title)


def _clear(out: Path, overwrite: bool) -> None:
    """Removes what an earlier demo left in `out`, and nothing else."""
    ours = [out / name for name in ("phantoms", "run", "export", "scores.json", "comparison.png")]
    left = [path for path in ours if path.exists()]
    if left and not overwrite:
        raise UserError(f"{out} holds an earlier demo. Pass --overwrite to replace it.")
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    make_folder(out)


def _phantoms(folder: Path) -> Path:
    """Phantoms in train, val and test folders, made on all cores."""
    print(f"Making {sum(PHANTOMS.values())} phantoms")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        first, jobs = 0, []
        for split, count in PHANTOMS.items():
            jobs.append(pool.submit(write_phantoms, folder / split, count, 512, first))
            first += count
        for job in jobs:
            job.result()
    return folder
