"""Points at which claims are compared: nice ones, random ones and their mirror images, and special ones.

A point gives every leaf a fraction or an array of fractions; leaves of whole numbers stay within what they index.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy

from graphc.checking.circuit import Circuit
from graphc.graph.node import Node

__all__ = ["Point", "Sampler", "with_entry"]

Point = Mapping[str, Any]

#: Halves, different from each other and not far from zero.
_HALVES = [Fraction(k, 2) for k in (4, -6, 3, -1, 5, -3, 1, -5, 6, -4, 2, -2, 7, -7, 8, -8)]

#: For arrays: small enough that few functions saturate, and different from each other.
_SMALL = [Fraction(k, 2) for k in (2, -2, 4, 1, -1, -4, 3, -3, 6, 5, -5, -6)]
_SMALL += [Fraction(sign * k, 4) for k in (1, 3, 5, 7, 9, 11) for sign in (1, -1)]
_TENTHS = [Fraction(k, 10) for k in (3, -2, 5, 1, -4, 2, -1, 6, -3, 4, -5, 7, -6, 8, -7, 9, -8, -9)]

#: Entries beyond which an array is filled with floats.
_MANY = 2_000

#: Classes of labels whose number is not seen in the graph.
_CLASSES = 4


class Sampler:
    """Points of a circuit; the same seed gives the same points."""

    def __init__(self, circuit: Circuit, seed: int) -> None:
        self.circuit = circuit
        self.random = random.Random(f"graphc {seed}")  # noqa: S311 - points, not secrets
        self.draw = numpy.random.default_rng(seed)
        self.leaves = [circuit.keys[n.id] for n in circuit.leaves]
        self.shapes = {circuit.keys[n.id]: circuit.shapes[n.id] for n in circuit.leaves}
        self.nodes: dict[str, Node] = {circuit.keys[n.id]: n for n in circuit.leaves}
        self.whole = {key for key, node in self.nodes.items() if not node.is_float}
        self.scales = {key: self.scale(node) for key, node in self.nodes.items()}
        self.entries = sum(int(numpy.prod(shape, dtype=int)) for shape in self.shapes.values())

    def scale(self, node: Node) -> Fraction:
        """Weights of large layers are small, so that nothing saturates."""
        inward = int(numpy.prod(self.circuit.shapes[node.id][1:], dtype=int))
        return Fraction(1, math.isqrt(inward)) if node.kind == "parameter" and inward > 64 else Fraction(1)

    def filled(self, number: Callable[[], Fraction], shift: int = 0) -> dict[str, Any]:
        """A point whose entries come one after the other."""
        found: dict[str, Any] = {}
        for key in self.leaves:
            shape = self.shapes[key]
            if key in self.whole:
                found[key] = self.labels(key, shift, number)
                continue
            count, scale = int(numpy.prod(shape, dtype=int)), self.scales[key]
            if count > _MANY:  # such a graph is evaluated in float64 anyway
                drawn = numpy.array([float(number()) for _ in range(64)])
                found[key] = (float(scale) * drawn[self.draw.integers(0, 64, count)]).reshape(shape)
                continue
            values = [number() * scale for _ in range(count)] if scale != 1 else [number() for _ in range(count)]
            if self.nodes[key].kind == "state":  # running variances are among them
                values = [abs(v) for v in values]
            if not shape:
                found[key] = values[0]
                continue
            array = numpy.empty(len(values), dtype=object)
            array[:] = values
            found[key] = array.reshape(shape)
        return found

    def labels(self, key: str, shift: int, number: Callable[[], Fraction]) -> Any:
        """Whole numbers: all classes in turn, or at random where ``shift`` is negative."""
        shape, bound = self.shapes[key], self.circuit.bounds.get(self.nodes[key].id)
        if not shape and bound is None:
            return Fraction(round(number()))
        bound = bound or _CLASSES
        count = int(numpy.prod(shape, dtype=int))
        values = [self.random.randrange(bound) if shift < 0 else (k + shift) % bound for k in range(count)]
        return numpy.array(values, dtype="int64").reshape(shape) if shape else Fraction(values[0])

    def nice(self, count: int = 6) -> Iterator[dict[str, Any]]:
        """Half-integers, different from each other while there are few entries."""
        for shift in range(count):
            table = _HALVES if self.circuit.scalar else _SMALL if shift % 3 == 0 else _TENTHS
            numbers = [*table[shift:], *table[:shift]]
            values = itertools.cycle(abs(v) if shift % 3 == 1 else v for v in numbers)
            yield self.filled(values.__next__, shift)

    def generic(self, scale: float = 1.0, positive: bool = False) -> dict[str, Any]:
        """A random point with all digits in use."""

        def number() -> Fraction:
            value = Fraction(self.random.randrange(10**39, 10**40), 4 * 10**39) * Fraction(scale)
            return value if positive or self.random.random() < 0.5 else -value

        return self.filled(number, -1)

    def mirrored(self, point: Point) -> dict[str, Any]:
        """The point with all signs turned; labels and variances stay."""
        same = self.whole | {key for key, node in self.nodes.items() if node.kind == "state"}
        return {key: value if key in same else -value for key, value in point.items()}

    def special(self) -> Iterator[dict[str, Any]]:
        """Points where much is equal: all zero, all one, one leaf constant; there kinks are met."""
        base = next(self.nice(1))
        for value in (Fraction(0), Fraction(1)):
            yield self.filled(lambda value=value: value, 0)
        floats = [key for key in self.leaves if key not in self.whole and self.shapes[key]]
        for key, value in itertools.product(floats[:6], (Fraction(0), Fraction(1))):
            array = numpy.empty(self.shapes[key], dtype=object)
            array.fill(value)
            yield {**base, key: array}


def with_entry(point: Point, key: str, index: tuple[int, ...], value: Fraction) -> dict[str, Any]:
    """The point with one number replaced."""
    if not index:
        return {**point, key: value}
    array = point[key].copy()
    array[index] = value
    return {**point, key: array}
