"""Bodies of formulas on whole vectors, as text: each operation in the outermost loop that knows its operands.

What pooling (`graphc.kernels.cpu.pooling`) and sums (`graphc.kernels.cpu.sums`) do at a point of their loops.
Operations are those of `graphc.kernels.cpu.lanes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from graphc.kernels.cpu.writer import Lines

__all__ = ["Name", "Value", "Values"]

_SPELLED = {"abs": "absolute", "max": "maximum", "min": "minimum", "and": "both", "or": "any", "not": "invert"}
_COMPARISONS: Mapping[str, Callable[[float | Fraction, float | Fraction], bool]] = {
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
}


@dataclass(frozen=True)
class Name:
    """A vector or a mask with a name; the loop, counted from outside, that it is computed in (-1: before all)."""

    text: str
    level: int
    mask: bool = False


@dataclass(frozen=True)
class _Choice:
    """One of two values, not yet computed."""

    condition: Name
    first: Value
    second: Value


Value: TypeAlias = "Name | _Choice | bool | int | float | Fraction"


class Values:
    """Lines of the loops of one kernel, and the vectors and masks that they compute."""

    def __init__(self, out: Lines, loops: int) -> None:
        self.out = out
        self.lines: list[list[str]] = [[] for _ in range(loops + 1)]  # before the loops, and inside each
        self.known: dict[tuple[object, ...], Name] = {}
        self.functions: set[str] = set()

    def add(self, level: int, line: str) -> None:
        """Write a line into a loop; level -1 is before all of them."""
        if line not in self.lines[level + 1]:
            self.lines[level + 1].append(line)

    def new(self, key: tuple[object, ...], level: int, text: str, *, mask: bool = False) -> Name:
        """The name of a value, computed once."""
        if key not in self.known:
            name = f"{'m' if mask else 'x'}{len(self.known)}"
            self.add(level, f"{name} = {text}")
            self.known[key] = Name(name, level, mask)
        return self.known[key]

    def vector(self, value: Value) -> Name:
        """A value as a vector."""
        if isinstance(value, Name):
            return self.operation("choose", value, self.vector(1), self.vector(0)) if value.mask else value
        if isinstance(value, _Choice):
            return self.operation("choose", value.condition, self.vector(value.first), self.vector(value.second))
        self.functions.add("spread")
        literal = self.out.constant(float(value))
        return self.new(("constant", literal), -1, f"spread({literal})")

    def truth(self, value: Value) -> Name | bool:
        """A value as a condition: a number counts as true unless it is 0."""
        if isinstance(value, Name) and value.mask:
            return value
        if isinstance(value, Name | _Choice):
            return self.operation("not_equal", self.vector(value), self.vector(0))
        return bool(value)

    def operation(self, name: str, *operands: Name) -> Name:
        """An operation on vectors, in the outermost loop that knows them all."""
        mask = name in _COMPARISONS or name in ("both", "any", "invert", "unordered")
        self.functions.add(name)
        level = max(operand.level for operand in operands)
        return self.new((name, *operands), level, f"{name}({', '.join(o.text for o in operands)})", mask=mask)

    def combined(self, name: str, operands: list[Name | bool]) -> Name | bool:
        """``and``, ``or`` and ``not`` of conditions, some of which are known."""
        unknown = [operand for operand in operands if not isinstance(operand, bool)]
        if name == "not":
            return self.operation("invert", *unknown) if unknown else not operands[0]
        decisive = name == "or"  # one such operand decides
        if any(operand is decisive for operand in operands):
            return decisive
        if not unknown:
            return not decisive
        result = unknown[0]
        for other in unknown[1:]:
            result = self.operation(_SPELLED[name], result, other)
        return result

    def equal(self, value: Value, number: float | Fraction) -> Name | bool:
        """Whether a choice between numbers is this one, without computing it."""
        if isinstance(value, _Choice):
            first, second = self.equal(value.first, number), self.equal(value.second, number)
            chosen = self.combined("and", [value.condition, first])
            other = self.combined("and", [self.combined("not", [value.condition]), second])
            return self.combined("or", [chosen, other])
        if isinstance(value, Name):
            return self.operation("equal", self.vector(value), self.vector(number))
        return value == number

    def apply(self, function: str, operands: list[Value]) -> Value:
        """A scalar function of values."""
        if function in ("and", "or", "not"):
            return self.combined(function, [self.truth(operand) for operand in operands])
        if function == "select":
            condition = self.truth(operands[0])
            if isinstance(condition, bool):
                return operands[1 if condition else 2]
            return _Choice(condition, operands[1], operands[2])
        numbers = [operand for operand in operands if isinstance(operand, int | float | Fraction)]
        if len(numbers) == len(operands):
            if function in _COMPARISONS:
                return _COMPARISONS[function](numbers[0], numbers[1])
            if function in ("add", "mul") and all(isinstance(value, int) for value in numbers):
                return numbers[0] + numbers[1] if function == "add" else numbers[0] * numbers[1]
        if function in ("max", "min") and numbers:  # no NaN among literals
            literal, other = sorted(operands, key=lambda operand: isinstance(operand, Name | _Choice))
            return self.operation("above" if function == "max" else "below", self.vector(literal), self.vector(other))
        if function == "equal" and numbers and isinstance(operands[0], _Choice):
            return self.equal(operands[0], numbers[0])
        return self.operation(_SPELLED.get(function, function), *map(self.vector, operands))
