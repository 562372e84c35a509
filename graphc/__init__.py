"""graphc: a gate is one formula, and everything else is derived from it.

Declare a static graph of gates, differentiate it symbolically, draw it, check derivations against it, compile
it and train it: the same object. Everything public is ``graphc.<name>``; gates resolve through the registry.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphc import gates, layers  # importing gates fills the registry
from graphc.errors import (
    CheckError,
    CheckpointError,
    DataError,
    DerivativeError,
    DrawingError,
    FormulaError,
    GraphcError,
    InternalError,
    KernelError,
    PlanError,
    ShapeError,
    did_you_mean,
)
from graphc.gradients import Backward, Run, backward
from graphc.graph import (
    Gate,
    Node,
    constant,
    gate,
    input,
    inputs,
    is_training,
    parameter,
    registry,
    state,
    update,
    verbs,
)
from graphc.layers.initialisers import he, normal, orthogonal, xavier, zeros
from graphc.layers.regularisers import l1, l2

__version__ = "0.1.0"

#: Names that load a heavier floor when they are first used: name -> (module, attribute).
_LAZY = {
    "Adam": ("graphc.training", "Adam"),
    "Dataset": ("graphc.datasets", "Dataset"),
    "SGD": ("graphc.training", "SGD"),
    "Trainer": ("graphc.training", "Trainer"),
    "accuracy": ("graphc.training", "accuracy"),
    "check": ("graphc.checking", "check"),
    "check_derivation": ("graphc.checking.derivation", "check_derivation"),
    "check_gradients": ("graphc.checking.numeric", "check_gradients"),
    "compile": ("graphc.kernels", "compile"),
    "count": ("graphc.planning", "count"),
    "datasets": ("graphc.datasets", ""),
    "draw": ("graphc.drawing", "draw"),
    "patches": ("graphc.planning", "patches"),
    "profile": ("graphc.kernels.profile", "profile"),
    "expanded": ("graphc.graph.expand", "expanded"),
    "sample": ("graphc.training", "sample"),
    "unroll": ("graphc.graph.unroll", "unroll"),
    "unrolled": ("graphc.graph.unroll", "unrolled"),
    "to_networkx": ("graphc.graph.networks", "to_networkx"),
    "toeplitz": ("graphc.planning", "toeplitz"),
}

for _verb in ("draw", "flow_drawing", "frames", "notebook_bundle"):

    def _load(attribute: str = _verb) -> Any:
        return getattr(importlib.import_module("graphc.drawing"), attribute)

    verbs.register(_verb, _load)

if TYPE_CHECKING:
    # what a type checker sees of the lazy names
    from graphc import datasets
    from graphc.checking import check
    from graphc.checking.derivation import check_derivation
    from graphc.checking.numeric import check_gradients
    from graphc.datasets import Dataset
    from graphc.drawing import draw
    from graphc.graph.expand import expanded
    from graphc.graph.networks import to_networkx
    from graphc.graph.unroll import unroll, unrolled
    from graphc.kernels import compile
    from graphc.kernels.profile import profile
    from graphc.planning import count, patches, toeplitz
    from graphc.training import SGD, Adam, Trainer, accuracy, sample

__all__ = [
    "SGD",
    "Adam",
    "Backward",
    "CheckError",
    "CheckpointError",
    "DataError",
    "Dataset",
    "DerivativeError",
    "DrawingError",
    "FormulaError",
    "Gate",
    "GraphcError",
    "InternalError",
    "KernelError",
    "Node",
    "PlanError",
    "Run",
    "ShapeError",
    "Trainer",
    "accuracy",
    "backward",
    "check",
    "check_derivation",
    "check_gradients",
    "compile",
    "constant",
    "count",
    "datasets",
    "draw",
    "expanded",
    "gate",
    "gates",
    "he",
    "input",
    "inputs",
    "is_training",
    "l1",
    "l2",
    "layers",
    "normal",
    "orthogonal",
    "parameter",
    "patches",
    "profile",
    "sample",
    "state",
    "to_networkx",
    "toeplitz",
    "unroll",
    "unrolled",
    "update",
    "xavier",
    "zeros",
]


def __getattr__(name: str) -> Any:
    """Resolve gates through the registry, then the names that load a heavier floor."""
    if name in registry.gates():
        return registry.function(name)
    if name in _LAZY:
        module, attribute = _LAZY[name]
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found
    known = [*registry.names(), *__all__]
    raise AttributeError(f"graphc has no gate or name {name!r}{did_you_mean(name, known)}")


def __dir__() -> list[str]:
    return sorted({*__all__, *registry.names()})
