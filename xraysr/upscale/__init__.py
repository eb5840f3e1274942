"""One way to enlarge a radiograph, whatever runs the network. Importing it costs nothing."""

from importlib import import_module

_HOMES = {
    "Runtime": "xraysr.upscale.upscaler",
    "Upscaler": "xraysr.upscale.upscaler",
    "load": "xraysr.upscale.opening",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'xraysr.upscale' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
