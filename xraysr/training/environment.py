"""environment.json: what else, besides the settings, decides what a run will give."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from xraysr.films.finder import Film

PACKAGES = ("xraysr", "tensorflow", "keras", "numpy", "pillow")


def environment(
    strategy: tf.distribute.Strategy, films: Iterable[Film], seed: int
) -> dict[str, Any]:
    """Versions, devices, films, seed and commit of a run, as plain types.

    Args:
        strategy: How the devices work together.
        films: All that the run trains and validates on.
        seed: Of weights and data order.
    """
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "data_sha256": _manifest_sha256(films),
        "seed": seed,
        "git_commit": _commit(),
    }


def resumed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The environment a run began in; where it goes on in another, `resumed` lists what differs.

    Args:
        before: Content of environment.json.
        now: What `environment` says today.
    """
    differs = {name: value for name, value in now.items() if before.get(name) != value}
    if not differs:
        return before
    return {**before, "resumed": [*before.get("resumed", []), differs]}


def _manifest_sha256(films: Iterable[Film]) -> str:
    """Hash of the split, name and size in bytes of every film, wherever the folder lies."""
    lines = sorted([film.split, film.name, film.path.stat().st_size] for film in films)
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _commit() -> str | None:
    """Commit of the source tree the package runs from, with `-dirty` after changes.

    None when it is installed, also when it is installed inside the tree of something else.
    """
    here = Path(__file__)
    try:
        for command in (
            ["git", "ls-files", "--error-unmatch", here.name],
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        ):
            done = subprocess.run(
                command, cwd=here.parent, capture_output=True, text=True, timeout=10
            )
            if done.returncode:
                return None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip()
