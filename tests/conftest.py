"""Fixtures that several rooms share."""

from __future__ import annotations

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

    folder = tmp_path_factory.mktemp("trained")
    keras = save_model(folder / "generator.keras")
    outs = {"saved_model": "models", "tflite": "generator.tflite", "onnx": "generator.onnx"}
    written = {each: export_model(keras, folder / out, each).path for each, out in outs.items()}
    return {"keras": keras, **written}
