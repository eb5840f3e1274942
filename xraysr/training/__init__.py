"""A generator and a discriminator trained against each other.

Names are imported when they are first used: the settings need no TensorFlow, and the command line
makes its flags of them.
"""

from importlib import import_module

_HOMES = {
    "SRGAN": "srgan",
    "Callback": "callbacks",
    "Interrupted": "trainer",
    "Run": "run",
    "TrainConfig": "config",
    "choose_strategy": "devices",
    "resume_training": "launch",
    "settings_of": "config",
    "train": "launch",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
