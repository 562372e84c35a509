"""What a circuit holds at one point, and the edges along which gradients flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphc.checking.numbers import Numbers, double, exact
from graphc.formula.expression import Expression
from graphc.graph.node import Node

__all__ = ["Edge", "Later", "State", "numbers_of"]


@dataclass(frozen=True)
class Edge:
    """Operand ``k`` of a gate node.

    ``slope`` is the derivative of the gate along it in the formula's placeholders, where the gate works element by
    element, else None.
    """

    source: Node
    target: Node
    k: int
    slope: Expression | None


class Later(Mapping[int, "tuple[Any, Any]"]):
    """Ranges that are computed once somebody asks: nearly every point has no tie that matters."""

    def __init__(self, compute: Callable[[], Mapping[int, tuple[Any, Any]]]) -> None:
        self._compute = compute
        self._found: Mapping[int, tuple[Any, Any]] | None = None

    @property
    def _ranges(self) -> Mapping[int, tuple[Any, Any]]:
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __getitem__(self, key: int) -> tuple[Any, Any]:
        return self._ranges[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)


@dataclass
class State:
    """Numbers at one point: value, gradient of the root, and local gradient of every edge.

    Scalars are single numbers, arrays are NumPy arrays: of dtype object where they are exact. ``slopes`` holds None for
    edges that do not work element by element. ``intervals`` holds the range of a gradient where a kink is met exactly;
    elsewhere nothing. ``sizes`` are the numbers of named sizes, ``precision`` is "exact" or "double".
    """

    point: Mapping[str, Any]
    values: dict[int, Any]
    gradients: dict[int, Any]
    slopes: list[Any]
    intervals: Mapping[int, tuple[Any, Any]]
    sizes: Mapping[str, int] = field(default_factory=dict)
    precision: str = "exact"
    #: tensors inside of gates, by application, and slopes, as long as ``values`` are those that they were made from
    inner: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    made_from: dict[int, Any] | None = field(default=None, repr=False)

    @property
    def numbers(self) -> Numbers:
        """The number system of ``precision``."""
        return numbers_of(self.precision)

    @property
    def fresh(self) -> bool:
        """Whether ``values`` are those that the state was made with, so that slopes can be used again."""
        return self.values is self.made_from


def numbers_of(precision: str) -> Numbers:
    """The number system that goes by a name: "exact", "double" or "formulas"."""
    if precision == "formulas":
        from graphc.checking.terms import symbolic

        return symbolic()
    return exact() if precision == "exact" else double()
