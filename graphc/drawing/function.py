"""A gate as a function of one number, with its derivative: where it has kinks, and where the gradient is killed.

Both functions come from the gate's formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy

from graphc.drawing.fonts import number_text
from graphc.errors import ShapeError
from graphc.formula.expression import Expression, evaluate
from graphc.formula.numeric import NUMPY
from graphc.gradients.local import elementwise, local_body
from graphc.graph import Node, input, registry

__all__ = ["HIGHEST", "Curve", "Function", "at", "grid", "killed", "kinks", "scalar_curve"]

#: What lies further from 0 is not shown.
HIGHEST = 10.0
#: A gradient below this share of the largest one is called killed.
KILLED = 0.01
#: Second operands at which a gate of two operands is drawn; these two where nothing is said.
_SECOND: Mapping[str, tuple[float, ...]] = {
    "huber": (0.0,),
    "absolute_error": (0.0,),
    "div": (2.0, -1.0),
    "max": (0.0,),
    "min": (0.0,),
    "mul": (2.0, -1.0),
    "pow": (2.0, 3.0, 0.5),
    "prelu": (0.25,),
    "sigmoid_cross_entropy": (1.0, 0.0),
    "squared_error": (0.0,),
}
_USUAL = (1.0, -1.0)
_STEPS, _FINE = 800, 16

Function = Callable[[numpy.ndarray], numpy.ndarray]


@dataclass(frozen=True, eq=False)
class Curve:
    """One function of one number: its value and its derivative, as derived from the formula."""

    label: str
    short: str  # says only what is fixed
    value: Function
    slope: Function


# ---- what is drawn ----------------------------------------------------------------------------------


def _function(expression: Expression, variable: str, fixed: dict[str, float]) -> Function:
    def at(x: numpy.ndarray) -> numpy.ndarray:
        with numpy.errstate(all="ignore"):
            found = evaluate(expression, {**fixed, variable: x}, NUMPY)
        return numpy.broadcast_to(numpy.asarray(found, dtype="float64"), x.shape)

    return at


def _curve(
    label: str, short: str, value: Expression, slope: Expression, variable: str, fixed: dict[str, float]
) -> Curve:
    function, derivative = _function(value, variable, fixed), _function(slope, variable, fixed)

    def where_defined(x: numpy.ndarray) -> numpy.ndarray:
        # the formula of a derivative may be defined where the function is not: 1/x below 0 for log
        return numpy.where(numpy.isfinite(function(x)), derivative(x), numpy.nan)

    return Curve(label, short, function, where_defined)


def _scalar_node(name: str) -> Node | None:
    """Return the gate on scalars, or None where it does not map each element by itself."""
    gate = registry.gate(name)
    if gate.variadic or gate.optional or len(gate.operands) > 2 or not gate.samples:
        return None
    whole = {"reduction": "none"} if "reduction" in gate.attributes else {}
    sample = gate.samples[0]
    if sample.integers:
        return None
    try:
        nodes = []
        for shapes in (sample.shapes, tuple(() for _ in gate.operands)):
            operands = [input(o, shape) for o, shape in zip(gate.names(len(shapes)), shapes, strict=True)]
            attributes = {**(sample.attributes if shapes == sample.shapes else {}), **whole}
            nodes += gate.apply(tuple(operands), attributes)
    except ShapeError:  # a gate of images or of rows has no meaning on scalars
        return None
    for node in nodes:
        if node.formula is None or len(nodes) != 2 or not elementwise(node.formula) or not node.is_float:
            return None
        # an element of the result reads the first operand at its own place: no permuted or shifted axes
        (statement,) = node.formula.statements
        written = [str(item) for item in statement.write.index]
        for _, access in statement.reads:
            places = [str(item) for item in access.index]
            if not set(places) <= {*written, "0"} or (access.tensor == node.formula.inputs[0] and places != written):
                return None
        if "uniform" in str(statement.body) or len(nodes[0].shape) != max(map(len, sample.shapes)):
            return None
    return nodes[1] if gate.differentiable or len(gate.operands) == 1 else None


@lru_cache(maxsize=256)
def scalar_curve(name: str) -> tuple[Curve, ...]:
    """Return the curves of a gate: one, or one for each fixed second operand; none where it is not elementwise."""
    node = _scalar_node(name)
    if node is None or node.formula is None:
        return ()
    formula = node.formula
    (statement,) = formula.statements
    places = {access.tensor: placeholder for placeholder, access in statement.reads}
    if set(places) != set(formula.inputs) or len(statement.reads) != len(places):
        return ()
    first = formula.inputs[0]
    slope: Expression = local_body(formula, 0)
    if len(formula.inputs) == 1:
        return (_curve(f"y = {name}({first})", "", statement.body, slope, places[first], {}),)
    curves = []
    for second in _SECOND.get(name, _USUAL):
        label = f"{'' if curves else 'y = '}{name}({first}, {number_text(second)})"
        short = f"{formula.inputs[1]} = {number_text(second)}"
        fixed = {places[formula.inputs[1]]: second}
        curves.append(_curve(label, short, statement.body, slope, places[first], fixed))
    return tuple(curves)


# ---- what is marked ---------------------------------------------------------------------------------


def grid(low: float, high: float, steps: int = _STEPS) -> numpy.ndarray:
    """Return equally spaced points, both ends included."""
    return low + (high - low) * numpy.arange(steps + 1) / steps


def at(function: Function, x: float) -> float:
    """Return what a function is at one point."""
    return float(function(numpy.array([x]))[0])


def _jumps(function: Function, low: float, high: float) -> list[float]:
    """Places where a function jumps, between points where it is known."""
    points = grid(low, high, _STEPS * _FINE)
    values = function(points)
    with numpy.errstate(all="ignore"):
        changes = numpy.abs(numpy.diff(values)).reshape(_STEPS, _FINE)
    found: list[float] = []
    # a smooth function spreads its change over the parts of a step, a jump is within one of them
    for step, part in zip(range(_STEPS), numpy.argmax(changes, axis=1), strict=True):
        change = float(changes[step, part])
        if not 1e-3 <= change < math.inf or change < 0.5 * float(changes[step].sum()):
            continue
        k = step * _FINE + int(part)
        left, right, before, after = float(points[k]), float(points[k + 1]), float(values[k]), float(values[k + 1])
        for _ in range(40):
            middle = (left + right) / 2
            inside = at(function, middle)
            if abs(inside - before) >= abs(after - inside):
                right, after = middle, inside
            else:
                left, before = middle, inside
        if 0.5 * change < abs(after - before) < 2 * HIGHEST:
            found.append(round((left + right) / 2, 6) + 0.0)
    return found


@lru_cache(maxsize=256)
def kinks(item: Curve, low: float, high: float) -> tuple[float, ...]:
    """Return where the function or its derivative jumps in an interval."""
    places = sorted({*_jumps(item.value, low, high), *_jumps(item.slope, low, high)})
    return tuple(x for x, before in zip(places, [-math.inf, *places], strict=False) if x - before > 1e-4)


def killed(item: Curve, low: float, high: float) -> list[tuple[float, float]]:
    """Return intervals in which the derivative is below 1 % of its largest; none where it grows without bound."""
    points = grid(low, high)
    slopes = numpy.abs(item.slope(points))
    far = numpy.abs(item.slope(grid(-100.0, 100.0)))
    near_zero = numpy.abs(item.slope(numpy.array([-1e-6, 1e-6])))
    everywhere = numpy.concatenate([far, near_zero])
    if not numpy.isfinite(slopes).all() or not numpy.isfinite(everywhere).all():
        return []
    largest = float(slopes.max())
    limit = KILLED * largest * (1 - 1e-9) if largest else 1.0
    if float(everywhere.max()) > 1.05 * largest:
        return []

    def small(x: float) -> bool:
        return abs(at(item.slope, x)) < limit

    def border(inside: float, outside: float) -> float:
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if small(middle) else (inside, middle)
        return inside

    flags = [bool(v < limit) for v in slopes]
    bands, start = [], None
    for k, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = k
        elif not flag and start is not None:
            left = low if start == 0 else border(float(points[start]), float(points[start - 1]))
            right = high if k == len(flags) else border(float(points[k - 1]), float(points[k]))
            if right - left > 0.04 * (high - low):  # crossing zero is no saturation
                bands.append((round(left, 6) + 0.0, round(right, 6) + 0.0))
            start = None
    return bands
