"""One gate, one file: every file of this folder enters its gate into the registry. Never edited."""

from __future__ import annotations

import importlib
import pkgutil

from graphc.graph import registry


def load(name: str) -> None:
    """Import one file of the folder and register its ``GATE`` and the function of the same name."""
    module = importlib.import_module(f"{__name__}.{name}")
    registry.register(module.GATE, getattr(module, name), module.__file__ or name)


for _module in pkgutil.iter_modules(__path__):
    load(_module.name)
