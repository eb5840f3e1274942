"""Lets Keras find our classes by name in files, without importing Keras or them before."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

KERAS_REGISTRY = "keras.src.saving.object_registration"
OURS = "xraysr>"
HOMES = ("xraysr.models", "xraysr.training.srgan")


def register() -> None:
    """From now on `keras.saving.load_model` knows every layer and model of xraysr.

    Keras asks its registry for a name such as `xraysr>SRGAN` when a file holds it; the modules
    that have these classes are imported at that moment. Where Keras is not imported yet, this
    takes effect when it is.
    """
    if KERAS_REGISTRY in sys.modules:
        _teach(sys.modules[KERAS_REGISTRY])
    else:
        sys.meta_path.insert(0, _Registry())


class _Registry(MetaPathFinder):
    """Finds the registry as the other finders do, and teaches it once it is imported."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != KERAS_REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec: ModuleSpec | None = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _teach(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _teach(registry: Any) -> None:
    look_up = registry.get_registered_object

    def get_registered_object(name: Any, *arguments: Any, **words: Any) -> Any:
        if isinstance(name, str) and name.startswith(OURS):
            for home in HOMES:
                import_module(home)
        return look_up(name, *arguments, **words)

    registry.get_registered_object = get_registered_object
