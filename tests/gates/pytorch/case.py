"""What is compared: a gate at one set of shapes, attributes and values, and how PyTorch is called in its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Case:
    """One comparison: shapes and attributes; values are drawn from the interval unless given."""

    shapes: Shapes
    attributes: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] = (-2.0, 2.0)
    integers: Mapping[int, int] = field(default_factory=dict)
    values: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Row:
    """How PyTorch is called: ``theirs(*tensors, **attributes)``; ``ours(gate, nodes, attributes)`` if not plainly."""

    theirs: Callable[..., Any]
    cases: Sequence[Case]
    ours: Callable[..., Any] = lambda gate, nodes, attributes: gate(*nodes, **attributes)


@dataclass(frozen=True)
class Difference:
    """A point at which both choose another derivative: what graphc promises there, and why."""

    gate: str
    reason: str
    theirs: Callable[..., Any]
    values: tuple[Any, ...]
    gradients: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    documented: str = ""  # words of the docstring that say so, where the gate's `ties` do not


def cases(
    *shapes: tuple[int, ...], low: float = -2.0, high: float = 2.0, integers: Any = None, **grid: Any
) -> list[Case]:
    """Every combination of the attribute values in lists."""
    names = list(grid)
    products = itertools.product(*(grid[name] for name in names))
    return [Case(shapes, dict(zip(names, p, strict=True)), (low, high), integers or {}) for p in products]


def at(*values: Any, integers: Any = None, **attributes: Any) -> Case:
    """A case with values given: ties, borders, zeros."""
    shapes = tuple(numpy.shape(value) for value in values)
    return Case(shapes, attributes, integers=integers or {}, values=values)
