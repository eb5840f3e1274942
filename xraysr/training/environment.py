"""environment.json: what else, besides the settings, decides what a run will give."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

PACKAGES = ("xraysr", "tensorflow", "keras", "numpy", "pillow")


def environment(strategy: tf.distribute.Strategy, data: dict[str, Any]) -> dict[str, Any]:
    """Versions, devices, data and commit of a run, as plain types.

    Args:
        strategy: How the devices work together.
        data: Content of data.json.
    """
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "data_sha256": hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest(),
        "git_commit": _commit(),
    }


def _commit() -> str | None:
    """Commit of the source tree the package runs from; None when it is installed."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
