"""The registry of gates: a gate is in it by having a file in ``graphc/gates``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphcError, InternalError, did_you_mean

if TYPE_CHECKING:
    from graphc.graph.gate import Gate
    from graphc.graph.node import Node

__all__ = ["call", "function", "gate", "gates", "names", "register"]

_gates: dict[str, Gate] = {}
_functions: dict[str, Callable[..., Node]] = {}
_files: dict[str, str] = {}


def register(gate: Gate, function: Callable[..., Node], file: str) -> None:
    """Enter a gate and its public function.

    Raises
    ------
    InternalError
        If two files declare the same name.
    """
    if _files.get(gate.name, file) != file:
        raise InternalError(f"two files declare the gate {gate.name!r}: {_files[gate.name]} and {file}")
    _gates[gate.name] = gate
    _functions[gate.name] = function
    _files[gate.name] = file


def unregister(name: str) -> None:
    """Remove a gate (tests drop files in and out)."""
    for table in (_gates, _functions, _files):
        table.pop(name, None)


def gates() -> Mapping[str, Gate]:
    """Return every gate by name."""
    return MappingProxyType(_gates)


def names() -> list[str]:
    """Return the sorted names of all gates."""
    return sorted(_gates)


def gate(name: str) -> Gate:
    """Return a gate by name.

    Raises
    ------
    GraphcError
        If there is none, with the closest name.
    """
    if name not in _gates:
        raise GraphcError(
            f"there is no gate {name!r}{did_you_mean(name, _gates)}; "
            f"the command 'graphc gates' lists all {len(_gates)}",
            gate=name,
        )
    return _gates[name]


def function(name: str) -> Callable[..., Node]:
    """Return the public function of a gate."""
    gate(name)
    return _functions[name]


def call(name: str, *operands: Any) -> Node:
    """Apply a gate by name: what operators on nodes do."""
    return function(name)(*operands)
