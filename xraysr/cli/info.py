"""The command `info`: what is installed here, and what is not."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from xraysr.cli.options import tensorflow

ABSENT = "not installed"
PACKAGES = (
    "tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "pydicom", "tifffile",
    "safetensors", "matplotlib",
)  # fmt: skip
# What makes a difference to the speed or the rounding of networks.
FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "sve", "bf16", "i8mm",
)  # fmt: skip
SYNTAXES = (
    "RLELossless", "JPEGBaseline8Bit", "JPEGExtended12Bit", "JPEGLosslessSV1", "JPEGLSLossless",
    "JPEG2000Lossless", "HTJ2KLossless",
)  # fmt: skip


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show versions, devices, codecs, presets and extras. Bug reports want this."""
    found = collect()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for title, content in found.items():
        if isinstance(content, dict):
            print(f"{title}:")
            for name, value in content.items():
                print(f"  {name}: {_text(value)}")
        else:
            print(f"{title}: {_text(content)}")


def collect() -> dict[str, Any]:
    """What is installed here, as plain types; nothing is a failure, only missing."""
    return {
        "xraysr": _version("xraysr"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "dicom codecs": _dicom_codecs(),
        "pillow codecs": _pillow_codecs(),
        "extras": _extras(),
        "presets": _presets(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT


def _processor() -> dict[str, Any]:
    """Name, cores this process may use, and features, as Linux tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    told = {name.strip().lower(): value.strip() for name, _, value in lines}
    flags = set((told.get("flags") or told.get("features") or "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": told.get("model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "features": [name for name in FEATURES if name in flags],
    }


def _devices() -> list[str] | str:
    if find_spec("tensorflow") is None:
        return "TensorFlow is not installed: pip install tensorflow"
    with tensorflow():
        import tensorflow as tf

        return [
            " ".join(
                (each.name, tf.config.experimental.get_device_details(each).get("device_name", ""))
            ).strip()
            for each in tf.config.list_physical_devices()
        ]


def _dicom_codecs() -> dict[str, list[str]] | str:
    """Transfer syntaxes that need a codec, and the packages here that have it."""
    if find_spec("pydicom") is None:
        return "pydicom is not installed: pip install pydicom"
    import pydicom.uid
    from pydicom.pixels import get_decoder

    known = {name: getattr(pydicom.uid, name, None) for name in SYNTAXES}
    return {name: list(get_decoder(uid).available_plugins) for name, uid in known.items() if uid}


def _pillow_codecs() -> list[str] | str:
    if find_spec("PIL") is None:
        return "Pillow is not installed: pip install pillow"
    from PIL import features

    return [*features.get_supported_codecs(), *features.get_supported_modules()]


def _extras() -> dict[str, str]:
    """What of each extra is missing here, as the installed metadata lists its packages."""
    missing: dict[str, list[str]] = {}
    for line in metadata.requires("xraysr") or []:
        package = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        if package and extra:
            absent = package[0] != "xraysr" and _version(package[0]) == ABSENT
            missing.setdefault(extra[1], []).extend([package[0]] if absent else [])
    return {
        name: f"missing {', '.join(packages)}" if packages else "installed"
        for name, packages in missing.items()
    }


def _presets() -> dict[str, str]:
    from xraysr.presets import names, tflite_path

    return {
        name: "runs without TensorFlow" if tflite_path(name) else "needs TensorFlow"
        for name in names()
    }


def _text(value: Any) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
