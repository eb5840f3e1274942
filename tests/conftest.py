"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real films, present for developers and CI; tests without it are skipped."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real films at {SHARED}, which are not part of the project")
    return SHARED
