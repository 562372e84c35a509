"""What a run says about a layer: sizes of gradients, units that never answer, and one example to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.drawing.fonts import number_text

__all__ = ["DIGITS", "Dead", "Magnitude", "Measures", "combined", "measured"]

#: Significant digits of magnitudes: the power of ten is what matters.
DIGITS = 2

Array = numpy.ndarray


@dataclass(frozen=True, slots=True)
class Magnitude:
    """Mean and largest |gradient| of the ``count`` elements of what ``of`` names."""

    of: str
    mean: float
    largest: float
    count: int

    def __str__(self) -> str:
        mean, largest = (number_text(number, DIGITS) for number in (self.mean, self.largest))
        return f"|gradient| of {self.of}: mean {mean}, max {largest}"


@dataclass(frozen=True, slots=True)
class Dead:
    """How many of ``count`` units are 0 for all examples, with a local gradient of 0."""

    gate: str
    dead: int
    count: int

    def __str__(self) -> str:
        return f"dead {self.gate}: {number_text(100.0 * self.dead / self.count, DIGITS)} % of {self.count:,}"


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers of a layer.

    Attributes
    ----------
    magnitudes : tuple of Magnitude
        Of the parameters, all of them together, and of the output.
    dead : Dead or None
        Where a gate of the layer can be 0 for good.
    image : array or None
        Output of the layer for one example.
    coloured : bool
        Whether the image has red, green and blue as its channels.
    """

    magnitudes: tuple[Magnitude, ...] = ()
    dead: Dead | None = None
    image: Array | None = field(default=None, compare=False)
    coloured: bool = False


def measured(nodes: Sequence[Any], parameters: Iterable[Any], run: Any, *, example: int) -> Measures:
    """Measure a layer.

    Parameters
    ----------
    nodes : sequence of Node
        Gates of the layer, its output last.
    parameters : iterable of Node
    example : int
        Which example of the batch is looked at; the last one where there are fewer.
    """
    last = nodes[-1]
    magnitudes = []
    gradients = [numpy.ravel(run.grad(p)) for p in parameters if run.back.has_grad(p)]
    if gradients:
        magnitudes.append(_magnitude("parameters", numpy.concatenate(gradients)))
    if run.back.has_grad(last):
        magnitudes.append(_magnitude("input" if last.kind == "input" else "output", run.grad(last)))
    value = numpy.asarray(run.value(last), dtype="float64")
    axes = _example_axes(last)
    if 0 in axes and value.ndim and len(value):
        value = value[min(example, len(value) - 1)]
    image = value if value.size > 1 else None
    coloured = last.kind == "input" and value.ndim == 3 and len(value) == 3
    return Measures(tuple(magnitudes), _dead(nodes, run), image, coloured)


def combined(measures: Sequence[Measures]) -> Measures:
    """Return the numbers of several layers taken together, without an image."""
    found: dict[str, list[Magnitude]] = {}
    for magnitude in (m for item in measures for m in item.magnitudes):
        found.setdefault(magnitude.of, []).append(magnitude)
    magnitudes = []
    for of, parts in found.items():
        count = sum(part.count for part in parts)
        mean = sum(part.mean * part.count for part in parts) / max(count, 1)
        largest = float(numpy.max([part.largest for part in parts]))  # nan stays nan
        magnitudes.append(Magnitude("outputs" if of == "output" and len(parts) > 1 else of, mean, largest, count))
    dead = [item.dead for item in measures if item.dead is not None]
    gates = {item.gate for item in dead}
    if len(gates) != 1:
        return Measures(tuple(magnitudes))
    total = Dead(gates.pop(), sum(item.dead for item in dead), sum(item.count for item in dead))
    return Measures(tuple(magnitudes), total)


def _magnitude(of: str, gradient: Array) -> Magnitude:
    size = numpy.abs(gradient)
    if not size.size:
        return Magnitude(of, 0.0, 0.0, 0)
    return Magnitude(of, float(size.mean()), float(size.max()), size.size)


def _example_axes(node: Any) -> tuple[int, ...]:
    """Axes that run along examples: those of unknown extent, else the first of several."""
    named = tuple(k for k, extent in enumerate(node.shape) if not isinstance(extent, int))
    return named or ((0,) if len(node.shape) > 1 else ())


def _dead(nodes: Sequence[Any], run: Any) -> Dead | None:
    """Count the units that are 0 with a local gradient of 0 for all examples: nothing flows back through them."""
    from graphc.gradients.local import elementwise

    for node in nodes:
        if len(node.operands) != 1 or node.formula is None or not elementwise(node.formula):
            continue
        value = numpy.asarray(run.value(node))
        quiet = (value == 0) & (numpy.asarray(run.local(node.operands[0], node)) == 0)
        axes = tuple(axis for axis in _example_axes(node) if axis < value.ndim)
        dead = quiet.all(axis=axes) if axes else quiet
        if dead.size and (node.gate == "relu" or dead.any()):
            return Dead("ReLU" if node.gate == "relu" else node.gate, int(dead.sum()), dead.size)
    return None
