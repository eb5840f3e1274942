"""Fixtures that several rooms share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell gives what it runs in the background, and pytest-xdist gives its workers, a Ctrl-C that
# is ignored, and so do their children; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """File names of any bytes, in what a test printed, would not reach pytest-xdist's chief."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real films, present for developers and CI; tests without it are skipped."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real films at {SHARED}, which are not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    """Writes a small generator with seeded noise for weights, and its card, to a `.keras` file."""
    from xraysr.models import SRResNet
    from xraysr.models.open import save_generator

    def save(path: Path, scale: int = 4, seed: int = 0) -> Path:
        generator = SRResNet(scale, depth=1, width=8)
        generator.build((None, None, None, 1))
        noise = np.random.default_rng(seed)
        generator.set_weights(
            [w + noise.normal(0, 0.05, w.shape).astype(np.float32) for w in generator.get_weights()]
        )
        save_generator(generator, path, {"pair": f"8:{8 * scale}", "seed": seed})
        return path

    return save


@pytest.fixture(scope="session")
def trained(tmp_path_factory, save_model) -> dict[str, Path]:
    """One x4 generator that is not plain Lanczos, in every format, by its name. Read only."""
    from xraysr.export import export_model
    from xraysr.files import locked

    # Workers of one run share it, since the conversions take half a minute.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    outs = {"saved_model": "models", "tflite": "generator.tflite", "onnx": "generator.onnx"}
    known = folder / "written.json"
    with locked(folder.with_suffix(".lock"), wait=True):
        if not known.exists():
            keras = save_model(folder / "generator.keras")
            written = {e: str(export_model(keras, folder / out, e).path) for e, out in outs.items()}
            known.write_text(json.dumps({"keras": str(keras), **written}), "utf-8")
        return {name: Path(path) for name, path in json.loads(known.read_text("utf-8")).items()}
