"""Super-resolution for radiographs. Research use only; not a medical device.

Names are imported when they are first used, so that `import xraysr` costs next to nothing.
"""

from importlib import import_module

from xraysr.registration import register as _register
from xraysr.version import __version__ as __version__

_HOMES = {
    "Degradation": "xraysr.degradation",
    "Discriminator": "xraysr.models",
    "EdgeUpscaler": "xraysr.upscale.edge",
    "EdgeGenerator": "xraysr.models",
    "SRResNet": "xraysr.models",
    "ModelCard": "xraysr.presets",
    "Pair": "xraysr.pair",
    "PatchDiscriminator": "xraysr.models",
    "Radiograph": "xraysr.io",
    "SRGAN": "xraysr.training",
    "TrainConfig": "xraysr.training",
    "Upscaler": "xraysr.upscale",
    "UpscaleOptions": "xraysr.upscale.options",
    "UserError": "xraysr.errors",
    "connect": "xraysr.upscale.remote",
    "enlarge_file": "xraysr.upscale.files",
    "evaluate": "xraysr.evaluation.evaluate",
    "export_model": "xraysr.export.writer",
    "index_films": "xraysr.films.index",
    "load": "xraysr.upscale",
    "make_phantom": "xraysr.phantom.film",
    "prepare": "xraysr.data.prepare",
    "read": "xraysr.io",
    "train": "xraysr.training",
    "write": "xraysr.io",
}

__all__ = sorted(_HOMES)

_register()


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'xraysr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
