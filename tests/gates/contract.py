"""What every gate promises, as functions that take a gate.

`test_contract` asks them of the registry; `test_wrong_gate` hands in wrong gates to see that each is caught.
Every function returns how many comparisons it made, so that "nothing was compared" cannot pass for success.
"""

from __future__ import annotations

import doctest
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import DerivativeError, ShapeError
from graphc.formula import adjoint as adjoints
from graphc.formula.expression import ONE, Call, Expression, Number, Symbol
from graphc.formula.gather import gather_or_reason
from graphc.formula.latex import definition_latex, formula_latex, gate_latex, statement_latex
from graphc.formula.parser import parse_expression, parse_lines
from graphc.formula.statement import Affine, Formula, Gather, Interval, Statement, affine, size_name
from graphc.graph import Gate, Node, Sample
from graphc.graph.reference import evaluate, run_statement
from graphc.graph.shapes import Clash, extents

#: Largest |a - b| / max |b| between a compiled kernel and the float64 reference. float32 sums of
#: some hundred products lose about two of its seven digits.
KERNEL_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
#: Largest relative error of an elementwise value or derivative against 50 digits and more.
POINT_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
#: Central differences of fourth order with a step of about 1e-3 are right to about 1e-10.
DIFFERENCE_TOLERANCE = 1e-7
#: Values are printed in papers and books to four digits or more.
SAMPLE_TOLERANCE = 1e-4

MAGNITUDES = (1e-30, 1e-10, 1e-3, 0.5, 1.0, 30.0, 100.0, 1e3, 1e4)
POINTS = tuple(sign * magnitude for magnitude in MAGNITUDES for sign in (1.0, -1.0))

SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "Source", "Examples")


# ---- drawing operands ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A gate applied to one sample: nodes, operand arrays and a node that weights each output."""

    gate: Gate
    sample: Sample
    operands: tuple[Node, ...]
    outputs: tuple[Node, ...]
    upstreams: tuple[Node, ...]
    values: dict[Node, numpy.ndarray]

    @property
    def floats(self) -> tuple[Node, ...]:
        return tuple(node for node in self.operands if node.is_float)

    @property
    def differentiable(self) -> tuple[Node, ...]:
        """Outputs that a gradient may arrive at."""
        return tuple(node for node in self.outputs if node.is_float)

    def formula(self) -> Formula:
        assert self.outputs[0].formula is not None
        return self.outputs[0].formula

    def sizes(self) -> dict[str, int]:
        assert self.outputs[0].application is not None
        return {name: int(str(extent)) for name, extent in self.outputs[0].application.sizes.items()}

    def backward(self) -> graphc.Backward:
        """Gradients of the outputs, each weighted by its upstream node."""
        if len(self.outputs) == 1:
            return graphc.backward(self.outputs[0], wrt=self.floats, upstream=self.upstreams[0])
        return graphc.backward(weighted(self), wrt=self.floats)


def draw_operands(sample: Sample, seed: int = 0) -> list[numpy.ndarray]:
    """Draw operands from the sample's interval: all values distinct and none 0, so that no kink is near.

    The interval is cut into equal cells and each element gets the middle of its own cell.
    """
    generator = numpy.random.default_rng(seed)
    low, high = sample.interval
    counts = [math.prod(shape) for shape in sample.shapes]
    total = sum(n for k, n in enumerate(counts) if k not in sample.integers)
    cells = total + total % 2 + 2  # an even number: 0 is a boundary of cells, not a middle, if centred
    middles = low + (numpy.arange(cells) + 0.5) * (high - low) / cells
    pool = list(generator.permutation(middles))
    arrays = []
    for k, shape in enumerate(sample.shapes):
        if k in sample.integers:
            arrays.append(generator.integers(0, sample.integers[k], shape))
        else:
            taken, pool = pool[: counts[k]], pool[counts[k] :]
            arrays.append(numpy.array(taken).reshape(shape))
    return arrays


def step_of(sample: Sample) -> float:
    """A step that keeps two elements of `draw_operands` from changing places (they move by 2 steps each)."""
    low, high = sample.interval
    total = sum(math.prod(s) for k, s in enumerate(sample.shapes) if k not in sample.integers)
    return min(1e-3, (high - low) / (total + total % 2 + 2) / 10)


def apply(gate: Gate, sample: Sample, seed: int = 0, dtype: str = "float64") -> Case:
    """Declare the gate on inputs of the sample's shapes and draw values."""
    nodes = tuple(
        graphc.input(f"{name}_", shape, dtype="int32" if k in sample.integers else dtype)
        for k, (name, shape) in enumerate(zip(gate.names(len(sample.shapes)), sample.shapes, strict=True))
    )
    outputs = gate.apply(nodes, sample.attributes)
    values: dict[Node, Any] = dict(zip(nodes, draw_operands(sample, seed), strict=True))
    upstreams = []
    for k, output in enumerate(outputs):
        shape = tuple(int(str(extent)) for extent in output.shape)
        upstream = graphc.input(f"upstream{k or ''}_", shape, dtype=dtype)
        values[upstream] = numpy.random.default_rng(seed + 1 + k).uniform(0.5, 1.5, shape)
        upstreams.append(upstream)
    return Case(gate, sample, nodes, outputs, tuple(upstreams), values)


def directions(nodes: Iterable[Node], values: dict[Node, numpy.ndarray], seed: int) -> dict[Node, Any]:
    generator = numpy.random.default_rng(seed)
    return {node: generator.uniform(-1.0, 1.0, values[node].shape) for node in nodes}


def slope_along(
    function: Callable[[dict[Node, numpy.ndarray]], float],
    values: dict[Node, numpy.ndarray],
    direction: dict[Node, numpy.ndarray],
    step: float,
) -> float:
    """Central difference of fourth order of a function along a direction."""

    def moved(t: float) -> float:
        return function({n: v + t * direction[n] if n in direction else v for n, v in values.items()})

    near = moved(step) - moved(-step)
    far = moved(2 * step) - moved(-2 * step)
    return (8 * near - far) / (12 * step)


def assert_same_slope(analytic: float, numeric: float, scale: float, what: str) -> None:
    error = abs(analytic - numeric)
    assert error <= DIFFERENCE_TOLERANCE * max(scale, abs(numeric)), (
        f"{what}: derived {analytic:.12g}, central differences {numeric:.12g}"
    )


def total(*terms: Node) -> Node:
    result = terms[0]
    for term in terms[1:]:
        result = graphc.add(result, term)
    return result


def weighted(case: Case) -> Node:
    """The scalar that is differentiated: every output weighted by its upstream node, and summed."""
    return total(
        *(
            graphc.sum(graphc.mul(output, upstream))
            for output, upstream in zip(case.outputs, case.upstreams, strict=True)
            if output.is_float
        )
    )


# ---- (a) shapes -------------------------------------------------------------------------------------


def check_shape(gate: Gate, sample: Sample) -> int:
    """The shape rule gives the shape that the reference fills, every element of it, and no larger fits."""
    case = apply(gate, sample)
    for output, result in zip(case.outputs, evaluate(case.outputs, case.values), strict=True):
        declared = tuple(int(str(extent)) for extent in output.shape)
        assert result.shape == declared, f"shape rule {declared}, reference {result.shape}"
    formula, sizes = case.formula(), case.sizes()
    tensors = {name: case.values[node] for name, node in zip(formula.inputs, case.operands, strict=True)}
    written = dict.fromkeys(statement.write.tensor for statement in formula.statements)
    for tensor in written:  # lines that add to a tensor reach its elements together
        statements = [statement for statement in formula.statements if statement.write.tensor == tensor]
        counts = [points_per_element(formula, statement, sizes, tensors) for statement in statements]
        reached = numpy.sum(counts, axis=0)
        if any(isinstance(item, Gather) for statement in statements for item in statement.write.index):
            # the data say where: no point may be lost, and elements that no point is written to hold 0
            points = sum(math.prod(axis.extent.value(sizes) for axis in s.axes) for s in statements)
            assert reached.sum() == points, f"{gate.name}: {points} points, {reached.sum()} written to {tensor}"
            continue
        definition = gate.define(tuple(node.shape for node in case.operands), case.outputs[0].attributes)
        if 0 in definition.outside.values() and all(isinstance(s.body, Symbol) for s in statements):
            continue  # a copy with zeros around it on purpose
        assert reached.min(initial=1) >= 1, (
            f"{gate.name}: {int((reached == 0).sum())} elements of {tensor} see no operand "
            f"element for shapes {sample.shapes}"
        )
    return len(case.outputs) + len(formula.statements) + check_no_larger_fits(case)


def points_per_element(
    formula: Formula, statement: Statement, sizes: dict[str, int], tensors: dict[str, numpy.ndarray]
) -> numpy.ndarray:
    """How many points of the domain, reads outside left out, each element of the result is made of."""
    guards = list(statement.guards)
    for _, access in statement.reads:
        if access.outside == "zero":
            for d, item in enumerate(access.index):
                if isinstance(item, Affine):
                    guards.append(Interval(item, affine(size_name(access.tensor, d))))
    tensor = statement.write.tensor
    counted = replace(statement, operator="sum", reads=(), body=ONE, guards=tuple(guards), accumulate=False)
    shape = tuple(sizes[size_name(tensor, d)] for d in range(formula.ranks[tensor]))
    found = {**tensors, tensor: numpy.zeros(shape)}
    run_statement(counted, found, sizes)
    return found[tensor]


def check_no_larger_fits(case: Case) -> int:
    """An output extent worked out from a window is the largest: one more would read outside."""
    formula = case.formula()
    shapes = {name: node.shape for name, node in zip(formula.inputs, case.operands, strict=True)}
    checked = 0
    for name, expression in formula.extents.items():
        tensor, _, dimension = name.rpartition(".")
        statement = next((s for s in formula.statements if s.write.tensor == tensor), None)
        windowed = isinstance(expression, Call) and expression.function in ("add", "sub", "floordiv")
        if statement is None or not windowed or statement.guards or statement.write.flat:
            continue
        item = statement.write.index[int(dimension)]
        axis = item.plain() if isinstance(item, Affine) else None
        if axis is None or statement.extent(axis) != affine(name):
            continue  # the axis ends before the extent does: other lines add the rest
        if any(access.outside == "zero" for _, access in statement.reads):
            continue
        larger = {**formula.extents, name: Call("add", (expression, ONE))}
        with pytest.raises(Clash):
            extents(replace(formula, extents=larger), shapes)
        checked += 1
    return checked


# ---- (b), (d) derivatives ---------------------------------------------------------------------------


def check_adjoint(gate: Gate, sample: Sample) -> int:
    """The derived gradient is the slope of the reference along random directions."""
    case = apply(gate, sample)
    if not case.differentiable:
        with pytest.raises(DerivativeError, match="only floats have gradients"):
            graphc.backward(case.outputs[0], upstream=1.0)
        return 1
    if not case.floats:
        assert not gate.differentiable, f"{gate.name} has no operand that a gradient could be taken with respect to"
        return 1
    back = case.backward()
    gradients = evaluate([back.grad(node) for node in case.floats], case.values)
    scalar = weighted(case)

    def function(values: dict[Node, numpy.ndarray]) -> float:
        return float(evaluate([scalar], values)[0])

    scale = 1.0
    for k, (node, gradient) in enumerate(zip(case.floats, gradients, strict=True)):
        assert gradient.shape == case.values[node].shape or gradient.shape == ()
        for seed in (10 + k, 20 + k):
            direction = directions([node], case.values, seed)
            numeric = slope_along(function, case.values, direction, step_of(sample))
            scale = float(numpy.abs(gradient * direction[node]).sum())
            analytic = float((gradient * direction[node]).sum())
            assert_same_slope(analytic, numeric, scale, f"{gate.name}, gradient of {node.label}")
    if not gate.differentiable:
        assert not any(numpy.any(gradient) for gradient in gradients)
    return 2 * len(case.floats)


def check_second_order(gate: Gate, sample: Sample) -> int:
    """The gradient of a gradient is the slope of that gradient along random directions."""
    case = apply(gate, sample)
    if not gate.differentiable or not case.differentiable or not case.floats:
        return 0
    back = case.backward()
    generator = numpy.random.default_rng(5)
    values, terms = dict(case.values), []
    for node in case.floats:
        probe = graphc.input(f"{node.label}probe", node.shape, dtype="float64")
        values[probe] = generator.uniform(0.5, 1.5, values[node].shape)
        product = graphc.mul(back.grad(node), probe)
        terms.append(graphc.sum(product) if product.shape else product)
    scalar = total(*terms)

    def function(at: dict[Node, numpy.ndarray]) -> float:
        return float(evaluate([scalar], at)[0])

    below = set(graphc.graph.topological([scalar]))
    candidates = (*case.floats, *case.upstreams)
    again = graphc.backward(scalar, wrt=[node for node in candidates if node in below])
    for k, node in enumerate(candidates):
        direction = directions([node], values, 30 + k)
        numeric = slope_along(function, values, direction, step_of(sample))
        if node in below:
            (gradient,) = evaluate([again.grad(node)], values)
        else:
            gradient = numpy.zeros(values[node].shape)
        scale = float(numpy.abs(gradient * direction[node]).sum()) + 1e-3
        analytic = float((gradient * direction[node]).sum())
        assert_same_slope(analytic, numeric, scale, f"{gate.name}, second order in {node.label}")
    return len(candidates)


# ---- (c) scatter and gather -------------------------------------------------------------------------


def run_statements(formula: Formula, tensors: dict[str, numpy.ndarray], sizes: dict[str, int]) -> tuple[int, list[str]]:
    """Run an adjoint as it is and in gather form, statement by statement; return comparisons and reasons."""
    compared, reasons = 0, []
    with numpy.errstate(all="ignore"):
        for statement in formula.statements:
            target = statement.write.tensor
            shape = tuple(sizes[size_name(target, d)] for d in range(formula.ranks[target]))
            if statement.accumulate:
                start = tensors[target].copy()
            elif statement.operator in ("max", "min", "logsumexp"):
                start = numpy.full(shape, math.inf if statement.operator == "min" else -math.inf)
            else:
                start = numpy.zeros(shape, "int64" if target in formula.integers else "float64")
            tensors[target] = start.copy()
            run_statement(statement, tensors, sizes)
            normal, reason = gather_or_reason(statement)
            if normal is None:
                reasons.append(reason)
                continue
            assert normal.race_free(), f"the gather form still writes an element twice: {normal}"
            other = {**tensors, target: start}
            run_statement(normal, other, sizes)
            a, b = tensors[target], other[target]
            assert numpy.allclose(a, b, rtol=1e-12, atol=1e-12 * max(1.0, float(numpy.abs(a).max(initial=0)))), (
                f"scatter and gather differ by {numpy.abs(a - b).max()}:\n{statement}\n{normal}"
            )
            compared += 1
    return compared, reasons


def check_scatter_and_gather(gate: Gate, samples: Iterable[Sample]) -> int:
    """Scatter form = gather form for every adjoint; a gate gives its reason exactly where one is missing."""
    compared, reasons = 0, []
    for sample in samples:
        case = apply(gate, sample)
        formula, sizes = case.formula(), case.sizes()
        tensors = {name: case.values[node] for name, node in zip(formula.inputs, case.operands, strict=True)}
        results = dict(zip(formula.outputs, evaluate(case.outputs, case.values), strict=True))
        weights = {tensor: case.values[node] for tensor, node in zip(formula.outputs, case.upstreams, strict=True)}
        for name, node in zip(formula.inputs, case.operands, strict=True):
            template = adjoints.adjoint(formula, name) if node.is_float else None
            if template is None:
                continue
            bound: dict[str, numpy.ndarray] = {}
            known = dict(sizes)
            for own, operand in zip(template.formula.inputs, template.operands, strict=True):
                source = {"upstream": weights, "output": results, "input": tensors}[operand.role][operand.tensor]
                bound[own] = source
                known |= {f"{own}.{d}": extent for d, extent in enumerate(source.shape)}
                known[f"{own}.size"] = source.size
            for size, expression in template.formula.extents.items():
                known[size] = known[expression.name] if isinstance(expression, Symbol) else known[size]
            for tensor in template.formula.ranks:
                shape = [known.get(f"{tensor}.{d}") for d in range(template.formula.ranks[tensor])]
                if None not in shape:
                    known[f"{tensor}.size"] = math.prod(shape)
            count, missing = run_statements(template.formula, bound, known)
            compared += count
            reasons += missing
    if reasons:
        assert gate.scatter_only, f"{gate.name} has adjoints without gather form and gives no reason: {reasons}"
    else:
        assert not gate.scatter_only, f"{gate.name} gives a reason, but all its adjoints have a gather form"
    return compared + len(reasons)


def check_stable_form(gate: Gate, sample: Sample) -> int:
    """The formula that documents show and the one that is evaluated are equal, value and gradients."""
    if gate.stable is None:
        return 0
    compared, found = 0, []
    for form in (gate, gate.textbook()):
        case = apply(form, sample)
        back = case.backward()
        found.append(evaluate([*case.outputs, *(back.grad(node) for node in case.floats)], case.values))
    assert gate.evaluated(sample.shapes, case.outputs[0].attributes) != gate.define(
        sample.shapes, case.outputs[0].attributes
    ), f"{gate.name}: the stable form is the definition"
    for evaluated, shown in zip(*found, strict=True):
        worst = float(numpy.abs(evaluated - shown).max(initial=0))
        scale = float(numpy.abs(shown).max(initial=0))
        assert worst <= 1e-10 * max(scale, 1.0), f"{gate.name}: the stable form differs by {worst:.3g} of {scale:.3g}"
        compared += 1
    return compared


# ---- (e) LaTeX --------------------------------------------------------------------------------------


def check_latex(gate: Gate, sample: Sample, longest: int = 400) -> int:
    """The formula, its adjoints and their gather forms are laid out as mathematics, up to a number of characters."""
    ziamath = pytest.importorskip("ziamath", reason="ziamath lays LaTeX out; install graphc[draw]")
    case = apply(gate, sample)
    formula = case.formula()
    texts = [gate_latex(gate), formula_latex(formula)]
    definition = gate.define(tuple(n.shape for n in case.operands), case.outputs[0].attributes)
    texts.append(definition_latex(definition, formula))
    for name, node in zip(formula.inputs, case.operands, strict=True):
        template = adjoints.adjoint(formula, name) if node.is_float else None
        for statement in template.formula.statements if template else ():
            normal, _ = gather_or_reason(statement)
            texts += [statement_latex(s) for s in (statement, normal) if s is not None]
    for text in dict.fromkeys(texts):
        assert text.count("{") == text.count("}")
        assert "[Error" not in text
        if len(text) <= longest:
            width, height = ziamath.Math.fromlatex(text).getsize()
            assert width > 0
            assert height > 0
    return len(set(texts))


# ---- (f) kernels ------------------------------------------------------------------------------------


def check_kernels(gate: Gate, samples: Iterable[Sample], dtype: str) -> int:
    """Compiled values and gradients are those of the reference; all samples of a gate are one program."""
    outputs, losses, values, floats = [], [], {}, []
    for k, sample in enumerate(samples):
        case = apply(gate, sample, seed=k, dtype=dtype)
        for node in (*case.operands, *case.upstreams):
            node.named(f"{node.label}{k}")
        # what the compiled program sees is rounded to its dtype: the reference gets the same numbers
        rounded = {n: v.astype(dtype) if n.is_float else v.astype("int32") for n, v in case.values.items()}
        values |= rounded
        outputs += case.outputs
        if gate.differentiable and case.floats:
            losses.append(weighted(case))
            floats += list(case.floats)
    data = {node.name: array for node, array in values.items()}
    roots = [total(*losses), *outputs] if losses else outputs
    if losses:
        program = graphc.compile(roots, gradients=[n.name for n in floats], dtype=dtype)
        found, gradients = program(**data)
        back = graphc.backward(roots[0], wrt=floats)
        expected_gradients = evaluate([back.grad(n) for n in floats], values)
    else:
        used = {n.name for n in graphc.graph.topological(outputs) if n.kind == "input"}
        program = graphc.compile(roots, dtype=dtype)
        found = program(**{name: array for name, array in data.items() if name in used})
        gradients, expected_gradients = {}, []
    compared = 0
    exact_values = evaluate(roots, values)
    if losses:
        # terms of both signs cancel in the sum that is differentiated: its error is relative to their sizes
        products = [node for node in graphc.graph.topological(losses) if node.gate == "mul" and node not in outputs]
        size = sum(float(numpy.abs(product).sum()) for product in evaluate(products, values))
        worst = abs(float(numpy.asarray(found[0])) - float(exact_values[0]))
        assert worst <= KERNEL_TOLERANCE[dtype] * size, f"{gate.name}: weighted sum: {worst:.3g} of {size:.3g}"
        roots, found, exact_values = roots[1:], found[1:], exact_values[1:]
    for node, array, expected in zip(roots, found, exact_values, strict=True):
        compared += assert_kernel(numpy.asarray(array), expected, dtype, f"{gate.name}: value of {node.label}")
    for node, expected in zip(floats, expected_gradients, strict=True):
        expected = numpy.broadcast_to(expected, values[node].shape)
        found_gradient = numpy.asarray(gradients[node.name])
        compared += assert_kernel(found_gradient, expected, dtype, f"{gate.name}: gradient of {node.label}")
    return compared


def assert_kernel(found: numpy.ndarray, expected: numpy.ndarray, dtype: str, what: str) -> int:
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, reference {expected.shape}"
    if expected.dtype.kind == "i":
        assert numpy.array_equal(found, expected), what
        return 1
    assert found.dtype == dtype, f"{what}: dtype {found.dtype}"
    worst = float(numpy.abs(found - expected).max(initial=0))
    # terms that cancel to exactly 0 were of the size of the operands and upstreams, about 1
    scale = float(numpy.abs(expected).max(initial=0)) or 1.0
    assert worst <= KERNEL_TOLERANCE[dtype] * scale, f"{what}: {worst:.3g} of {scale:.3g}"
    return 1


# ---- (g) single points against many digits ----------------------------------------------------------


def _tables() -> tuple[Any, dict[str, Callable[..., Any]]]:
    """Scalar functions over pairs (value, derivatives) in mpmath: forward differentiation.

    From the textbook, and independent of the tables of graphc. A value that does not exist raises ValueError.
    """
    import mpmath

    context = mpmath.mp.clone()
    # 1 - tanh(x)**2 cancels as many digits as a float64 has before its smallest normal number: 308
    context.dps = 700

    def chain(value: Any, *parts: tuple[Any, Any]) -> Any:
        slopes: dict[str, Any] = {}
        for factor, (_, inner) in parts:
            for name, slope in inner.items():
                slopes[name] = slopes.get(name, 0) + factor * slope
        return value, slopes

    def unary(function: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def rule(x: Any) -> Any:
            value = function(x[0])
            return chain(value, (slope(x[0], value), x))

        return rule

    def divide(a: Any, b: Any) -> Any:
        if b[0] == 0:
            raise ValueError("division by 0")
        return chain(a[0] / b[0], (1 / b[0], a), (-a[0] / b[0] ** 2, b))

    def power(a: Any, b: Any) -> Any:
        if a[0] <= 0 and b[0] != context.nint(b[0]):
            raise ValueError("a negative base has no real power")
        if a[0] == 0:
            raise ValueError("0 as a base")
        value = a[0] ** b[0]
        parts = [(b[0] * a[0] ** (b[0] - 1), a)]
        if b[1]:
            # a slope along the exponent exists for positive bases only
            parts.append((value * context.log(a[0]) if a[0] > 0 else context.nan, b))
        return chain(value, *parts)

    def log(x: Any) -> Any:
        if x[0] <= 0:
            raise ValueError("log of a number that is not positive")
        return chain(context.log(x[0]), (1 / x[0], x))

    def sqrt(x: Any) -> Any:
        if x[0] <= 0:
            raise ValueError("sqrt of a number that is not positive")
        return chain(context.sqrt(x[0]), (1 / (2 * context.sqrt(x[0])), x))

    def truth(compare: Callable[[Any, Any], bool]) -> Callable[..., Any]:
        return lambda a, b: (compare(a[0], b[0]), {})

    table: dict[str, Callable[..., Any]] = {
        "add": lambda a, b: chain(a[0] + b[0], (1, a), (1, b)),
        "sub": lambda a, b: chain(a[0] - b[0], (1, a), (-1, b)),
        "mul": lambda a, b: chain(a[0] * b[0], (b[0], a), (a[0], b)),
        "div": divide,
        "neg": lambda a: chain(-a[0], (-1, a)),
        "pow": power,
        "exp": unary(context.exp, lambda x, y: y),
        "log": log,
        "log1p": lambda x: log(chain(1 + x[0], (1, x))),
        "expm1": unary(lambda x: context.exp(x) - 1, lambda x, y: y + 1),
        "sqrt": sqrt,
        "sin": unary(context.sin, lambda x, y: context.cos(x)),
        "cos": unary(context.cos, lambda x, y: -context.sin(x)),
        "tanh": unary(context.tanh, lambda x, y: 1 - y**2),
        "erf": unary(context.erf, lambda x, y: 2 / context.sqrt(context.pi) * context.exp(-(x**2))),
        "sigmoid": unary(lambda x: 1 / (1 + context.exp(-x)), lambda x, y: y * (1 - y)),
        "softplus": unary(lambda x: context.log(1 + context.exp(x)), lambda x, y: 1 / (1 + context.exp(-x))),
        "abs": unary(abs, lambda x, y: context.sign(x)),
        "sign": unary(context.sign, lambda x, y: 0),
        "max": lambda a, b: a if a[0] >= b[0] else b,
        "min": lambda a, b: a if a[0] <= b[0] else b,
        "select": lambda condition, a, b: a if condition[0] else b,
        "less": truth(lambda a, b: a < b),
        "less_equal": truth(lambda a, b: a <= b),
        "greater": truth(lambda a, b: a > b),
        "greater_equal": truth(lambda a, b: a >= b),
        "equal": truth(lambda a, b: a == b),
        "not_equal": truth(lambda a, b: a != b),
    }
    return context, table


@lru_cache(maxsize=1)
def tables() -> tuple[Any, dict[str, Callable[..., Any]]]:
    return _tables()


def exact(expression: Expression, at: dict[str, Any]) -> Any:
    """Evaluate an expression over (value, derivatives) pairs."""
    context, table = tables()
    if isinstance(expression, Number):
        value = expression.value
        if isinstance(value, float):
            return context.mpf(value), {}
        return context.mpf(value.numerator) / value.denominator, {}
    if isinstance(expression, Symbol):
        return at[expression.name]
    return table[expression.function](*(exact(o, at) for o in expression.operands))


def elementwise_text(gate: Gate) -> Expression | None:
    """The formula as it was written (not its stable form), if it is one line without indices."""
    if callable(gate.definition):
        return None
    text = gate.definition if isinstance(gate.definition, str) else gate.definition.text
    lines = parse_lines(text)
    if "[" in text or len(lines) != 1:
        return None
    return parse_expression(lines[0][3].partition("=")[2])


def representable(value: Any, dtype: str) -> bool:
    """Whether an exact value is 0 or in the normal range of a dtype."""
    info = numpy.finfo(dtype)
    context, _ = tables()
    if context.isnan(value):
        return False
    return value == 0 or float(info.tiny) <= abs(value) <= float(info.max)


@dataclass
class Grid:
    """Points of an elementwise gate with exact values and derivatives (None where there is none)."""

    operands: list[numpy.ndarray]
    values: list[Any]
    slopes: list[list[Any]]


def exact_grid(gate: Gate, dtype: str) -> Grid:
    expression = elementwise_text(gate)
    assert expression is not None
    context, _ = tables()
    mesh = numpy.meshgrid(*[numpy.array(POINTS, dtype=dtype)] * len(gate.operands), indexing="ij")
    operands = [axis.ravel() for axis in mesh]
    attributes = {name: (context.mpf(value), {}) for name, value in gate.attributes.items()}
    values, slopes = [], []
    for point in zip(*operands, strict=True):
        at = {
            name: (context.mpf(float(x)), {name: context.mpf(1)}) for name, x in zip(gate.operands, point, strict=True)
        }
        try:
            value, derivative = exact(expression, {**attributes, **at})
        except ValueError:
            values.append(None)
            slopes.append([None] * len(gate.operands))
            continue
        values.append(value)
        slopes.append([derivative.get(name, context.mpf(0)) for name in gate.operands])
    return Grid(operands, values, slopes)


def assert_points(found: numpy.ndarray, expected: list[Any], grid: Grid, dtype: str, what: str, seed: int = 1) -> int:
    """Compare with exact values wherever these are representable; list every point that is wrong."""
    compared, wrong = 0, []
    for k, value in enumerate(expected):
        if value is None or not representable(value, dtype):
            continue
        compared += 1
        result = float(found[k])
        error = abs(result - value) if math.isfinite(result) else math.inf
        if error > POINT_TOLERANCE[dtype] * abs(value):
            point = ", ".join(f"{float(axis[k]):g}" for axis in grid.operands)
            wrong.append(f"at ({point}): found {result:.9g}, exact {tables()[0].nstr(value, 9)}")
    shown = "\n  ".join(wrong[:12])
    assert not wrong, f"{what}, {dtype}: {len(wrong)} of {compared} points are wrong\n  {shown}"
    return compared


def check_points_reference(gate: Gate) -> int:
    """Value and derivative of the float64 reference, from 1e-30 to 1e4, against hundreds of digits."""
    if elementwise_text(gate) is None:
        return 0
    grid = exact_grid(gate, "float64")
    shape = grid.operands[0].shape
    nodes = [graphc.input(name, shape, dtype="float64") for name in gate.operands]
    output = gate(*nodes)
    values = dict(zip(nodes, grid.operands, strict=True))
    (result,) = evaluate([output], values)
    compared = assert_points(result, grid.values, grid, "float64", f"{gate.name}, reference value")
    if not gate.differentiable:
        return compared
    back = graphc.backward(output, wrt=nodes, upstream=numpy.ones(shape))
    for k, node in enumerate(nodes):
        (gradient,) = evaluate([back.grad(node)], values)
        gradient = numpy.broadcast_to(gradient, shape)
        expected = [row[k] for row in grid.slopes]
        what = f"{gate.name}, reference derivative by {node.name}"
        compared += assert_points(gradient, expected, grid, "float64", what)
    return compared


def check_points_kernels(gate: Gate, dtype: str) -> int:
    """The same for compiled kernels of a dtype."""
    if elementwise_text(gate) is None:
        return 0
    grid = exact_grid(gate, dtype)
    shape = grid.operands[0].shape
    nodes = [graphc.input(name, shape, dtype=dtype) for name in gate.operands]
    output = gate(*nodes)
    data = {node.name: array for node, array in zip(nodes, grid.operands, strict=True)}
    if not gate.differentiable:
        (result,) = graphc.compile([output], dtype=dtype)(**data)
        return assert_points(numpy.asarray(result), grid.values, grid, dtype, f"{gate.name}, kernel value")
    back = graphc.backward(output, wrt=nodes, upstream=numpy.ones(shape))
    gradients = [back.grad(node) for node in nodes]
    whole = [g for g in gradients if g.shape == shape]  # the constant gradients of sums stay numbers
    (result, *found) = graphc.compile([output, *whole], dtype=dtype)(**data)
    compared = assert_points(numpy.asarray(result), grid.values, grid, dtype, f"{gate.name}, kernel value")
    by_node = dict(zip(whole, found, strict=True))
    for k, gradient in enumerate(gradients):
        if gradient in by_node:
            expected = [row[k] for row in grid.slopes]
            what = f"{gate.name}, kernel derivative by {nodes[k].name}"
            compared += assert_points(numpy.asarray(by_node[gradient]), expected, grid, dtype, what)
    return compared


# ---- (h), (i) documents -----------------------------------------------------------------------------


def check_docstring(gate: Gate, function: Callable[..., Node]) -> int:
    """The public function has every numpydoc section, in order, none of them empty, and names its operands."""
    text = inspect.getdoc(function) or ""
    assert text.strip(), f"{gate.name} has no docstring"
    headings = list(re.finditer(r"^(\w+)\n(-+)$", text, re.MULTILINE))
    found = [match[1] for match in headings]
    assert found == list(SECTIONS), f"{gate.name}: sections {found}, expected {list(SECTIONS)}"
    ends = [match.start() for match in headings[1:]] + [len(text)]
    bodies = {m[1]: text[m.end() : end].strip() for m, end in zip(headings, ends, strict=True)}
    assert all(bodies.values()), f"{gate.name}: an empty section"
    assert text.splitlines()[0].strip(), f"{gate.name}: no summary"
    for name in (*gate.operands, *gate.attributes):
        assert re.search(rf"\b{name}\b.* : ", bodies["Parameters"]), f"{gate.name}: {name} is not described"
    for name in gate.operands:
        entry = re.search(rf"^.*\b{name}\b.* : (.*)$", bodies["Parameters"], re.MULTILINE)
        assert entry is not None
        assert re.search(r"shape", entry[1]), f"{gate.name}: the shape of {name} is not said"
    assert re.search(r"Cost:", bodies["Notes"]), f"{gate.name}: the cost is not said"
    assert gate.source, f"{gate.name}: GATE.source is empty"
    return len(SECTIONS)


def check_examples(gate: Gate, function: Callable[..., Node]) -> int:
    """The examples of the docstring print what they say."""
    tests = doctest.DocTestFinder(recurse=False).find(function, gate.name, globs={})
    examples = sum(len(test.examples) for test in tests)
    assert examples >= 2, f"{gate.name} has no example"
    assert any(example.want for test in tests for example in test.examples), f"{gate.name} prints nothing"
    out: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        runner.run(test, out=out.append)
    assert runner.failures == 0, "".join(out)
    return examples


def check_signature(gate: Gate, function: Callable[..., Node]) -> int:
    """Operand names are the function's first parameters and attributes the others, defaults agreeing."""
    parameters = inspect.signature(function).parameters
    expected = (*gate.operands, *gate.attributes)
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        assert gate.variadic, f"{gate.name} takes a fixed number of operands, but its function any number"
        expected = (*gate.attributes, *gate.operands)  # what is not one of the operands stands before *x
        assert parameters[gate.operands[0]].kind is inspect.Parameter.VAR_POSITIONAL
    assert tuple(parameters) == expected, f"{gate.name}: parameters {tuple(parameters)}, gate {expected}"
    for k, name in enumerate(gate.operands):
        optional = k >= len(gate.operands) - gate.optional
        default = None if optional else inspect.Parameter.empty
        assert parameters[name].default is default, f"{gate.name}: default of the operand {name}"
    for name, default in gate.attributes.items():
        given = parameters[name].default
        assert given is inspect.Parameter.empty or given == default, f"{gate.name}: default of {name}"
    module = sys.modules[function.__module__]
    assert module.__name__.rpartition(".")[2] == function.__name__ == gate.name
    return len(expected)


def check_values(gate: Gate, samples: Iterable[Sample]) -> int:
    """Values that the samples give from a source hold in the reference."""
    compared = 0
    for sample in samples:
        if sample.values is None:
            continue
        given, expected = sample.values
        arrays = [numpy.asarray(value) for value in given]
        nodes = [
            graphc.input(name, array.shape, dtype="int32" if k in sample.integers else "float64")
            for k, (name, array) in enumerate(zip(gate.names(len(arrays)), arrays, strict=True))
        ]
        output = gate.apply(tuple(nodes), sample.attributes)[0]
        (result,) = evaluate([output], dict(zip(nodes, arrays, strict=True)))
        expected = numpy.asarray(expected)
        assert result.shape == expected.shape, f"{gate.name}: {result.shape}, the source says {expected.shape}"
        worst = float(numpy.abs(result - expected).max(initial=0))
        assert worst <= SAMPLE_TOLERANCE * max(1.0, float(numpy.abs(expected).max(initial=0))), (
            f"{gate.name}{tuple(given)} = {result}, the source says {expected}"
        )
        compared += 1
    return compared


def check_all(gate: Gate, function: Callable[..., Node]) -> int:
    """Every promise but that of the kernels, for a gate that may be outside the registry."""
    assert gate.samples, f"{gate.name} has no samples"
    compared = 0
    for sample in gate.samples:
        compared += check_shape(gate, sample)
        compared += check_adjoint(gate, sample)
        compared += check_second_order(gate, sample)
        compared += check_stable_form(gate, sample)
        compared += check_latex(gate, sample)
    if gate.differentiable:
        compared += check_scatter_and_gather(gate, gate.samples)
    compared += check_points_reference(gate)
    compared += check_docstring(gate, function) + check_examples(gate, function)
    return compared + check_signature(gate, function) + check_values(gate, gate.samples)


def compilable() -> bool:
    """Whether graphc can compile in this checkout."""
    try:
        graphc.compile  # noqa: B018 - resolves lazily, importing the kernels
    except (ImportError, AttributeError, ShapeError):
        return False
    return True
