"""Losses from 1e-30 to 1e4 against 100 digits and more: values and gradients, of the reference and of kernels.

The expected numbers come from the textbook form of each loss, evaluated by mpmath with enough digits that nothing
cancels. Points whose exact result the dtype cannot represent are left out. Every error is relative to the exact
result, but for two kinds of results that are a difference of given numbers and so ill-conditioned: these say the
size of what was subtracted, as `Exact.scales`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath
import numpy
import pytest

import graphc
from graphc.graph import registry
from graphc.graph.reference import evaluate
from tests.gates.contract import POINT_TOLERANCE, representable

#: 1e4 as an exponent: exp(1e4) has 4343 digits before the point, but only logarithms of sums of such numbers are
#: asked for, and 100 digits hold the differences of their logarithms down to 1e-60.
DIGITS = 100

BACKENDS = (("reference", "float64"), ("kernels", "float32"), ("kernels", "float64"))
each_backend = pytest.mark.parametrize(("backend", "dtype"), BACKENDS)

MAGNITUDES = (1e-30, 1e-10, 1e-3, 0.5, 1.0, 30.0, 1e3, 1e4)
POINTS = (0.0, *(sign * magnitude for magnitude in MAGNITUDES for sign in (1.0, -1.0)))
#: Some targets lie beside a point: a difference that was expanded cancels there.
TARGETS = (*POINTS, 1.001, 30.7, -999.9, 9999.3)


@dataclass(frozen=True)
class Exact:
    """Exact results at one point, flattened; ``scales[k]``: what an error of result k is relative to, if not to it."""

    results: Sequence[Any]
    scales: dict[int, Any] = field(default_factory=dict)


def run(
    apply: Callable[..., Any], arrays: dict[str, numpy.ndarray], backend: str, dtype: str, weights: numpy.ndarray
) -> list[numpy.ndarray]:
    """Value and the gradients of all float operands, the value weighted by ``weights``."""
    nodes = {
        name: graphc.input(name, array.shape, dtype="int32" if array.dtype.kind == "i" else dtype)
        for name, array in arrays.items()
    }
    output = apply(*nodes.values())
    floats = [node for node in nodes.values() if node.is_float]
    back = graphc.backward(output, wrt=floats, upstream=weights)
    roots = [output, *(back.grad(node) for node in floats)]
    if backend == "reference":
        found = evaluate(roots, {nodes[name]: array for name, array in arrays.items()})
    else:
        read = {node.name for node in graphc.graph.topological(roots) if node.kind == "input"}
        program = graphc.compile(roots, dtype=dtype)
        found = program(**{name: array for name, array in arrays.items() if name in read})
    shapes = [numpy.shape(found[0]), *(arrays[node.name].shape for node in floats)]
    return [numpy.broadcast_to(numpy.asarray(a), shape) for a, shape in zip(found, shapes, strict=True)]


def compare(found: Iterable[float], exact: Exact, dtype: str, point: object) -> tuple[int, list[str]]:
    """Compare results with exact ones; return how many were compared and what is wrong."""
    compared, wrong = 0, []
    for k, (value, expected) in enumerate(zip(found, exact.results, strict=True)):
        scale = abs(exact.scales.get(k, expected))
        if not representable(expected, dtype) or not representable(scale, dtype):
            continue
        compared += 1
        error = abs(mpmath.mpf(float(value)) - expected) if math.isfinite(value) else mpmath.inf
        if error > POINT_TOLERANCE[dtype] * scale:
            wrong.append(f"at {point}, result {k}: found {value:.9g}, exact {mpmath.nstr(expected, 9)}")
    return compared, wrong


def conclude(outcomes: Iterable[tuple[int, list[str]]], least: int) -> None:
    """Fail with the points that are wrong, or where fewer than ``least`` results could be compared."""
    compared, wrong = 0, []
    for count, found in outcomes:
        compared += count
        wrong += found
    assert not wrong, f"{len(wrong)} of {compared} results are wrong\n  " + "\n  ".join(wrong[:20])
    assert compared >= least


# ---- elementwise losses -----------------------------------------------------------------------------


def sigmoid(s: Any) -> Any:
    return 1 / (1 + mpmath.exp(-s))


def squared_error(p: Any, t: Any) -> Exact:
    return Exact([(p - t) ** 2 / 2, p - t, t - p])


def absolute_error(p: Any, t: Any) -> Exact:
    return Exact([abs(p - t), mpmath.sign(p - t), mpmath.sign(t - p)])


def huber(p: Any, t: Any) -> Exact:
    d = p - t
    value = d**2 / 2 if abs(d) <= 1 else abs(d) - mpmath.mpf(1) / 2
    slope = max(min(d, 1), -1)
    return Exact([value, slope, -slope])


def sigmoid_cross_entropy(s: Any, t: Any) -> Exact:
    value = t * mpmath.log1p(mpmath.exp(-s)) + (1 - t) * mpmath.log1p(mpmath.exp(s))
    slope = (1 - t) * sigmoid(s) - t * sigmoid(-s)
    # between the classes, the slope vanishes where the prediction is the target
    return Exact([value, slope, -s], {} if t in (0, 1) else {1: max(sigmoid(s), t)})


def binary_hinge(s: Any, t: Any) -> Exact:
    inside = 1 - t * s > 0
    return Exact([max(0, 1 - t * s), -t if inside else 0, -s if inside else 0])


def perceptron_loss(s: Any, t: Any) -> Exact:
    wrong = t * s <= 0
    return Exact([max(-t * s, 0), -t if wrong else 0, -s if wrong else 0])


PROBABILITIES = (0.0, 1e-30, 1e-3, 0.25, 0.5, 0.999, 1.0)

ELEMENTWISE: dict[str, tuple[Callable[..., Exact], tuple[float, ...]]] = {
    "squared_error": (squared_error, TARGETS),
    "absolute_error": (absolute_error, TARGETS),
    "huber": (huber, TARGETS),
    "sigmoid_cross_entropy": (sigmoid_cross_entropy, PROBABILITIES),
    "binary_hinge": (binary_hinge, (-1.0, 1.0)),
    "perceptron_loss": (perceptron_loss, (-1.0, 1.0)),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@each_backend
def test_elementwise_losses_keep_their_digits(name: str, backend: str, dtype: str) -> None:
    exact, targets = ELEMENTWISE[name]
    mesh = numpy.meshgrid(numpy.array(POINTS, dtype), numpy.array(targets, dtype), indexing="ij")
    first, second = (axis.ravel() for axis in mesh)
    operands = registry.gate(name).operands
    function = registry.function(name)
    found = run(
        lambda a, b: function(a, b, reduction="none"),
        dict(zip(operands, (first, second), strict=True)),
        backend,
        dtype,
        numpy.ones(first.shape),
    )
    with mpmath.workdps(DIGITS):
        conclude(
            (
                compare(
                    [float(array[k]) for array in found],
                    exact(mpmath.mpf(float(first[k])), mpmath.mpf(float(second[k]))),
                    dtype,
                    (float(first[k]), float(second[k])),
                )
                for k in range(len(first))
            ),
            least=first.size,
        )


# ---- rows of scores ---------------------------------------------------------------------------------

ROWS = (
    (0.0, 0.0, 0.0),
    (1e-30, -1e-30, 1e-10),
    (30.0, 0.0, -1.0),
    (0.0, 30.0, 80.0),
    (1e4, 1e4, -1e4),
    (1e4, 1e4, 1e4),
    (-1e4, -1e4, -1e4),
    (1e4, -1e4, -1e4),
    (-1e4, -9999.0, -9970.0),
    (1e4, 9999.5, 9980.0),
    (1e3, 0.5, 1e-3),
    (3.2, 5.1, -1.7),
)
WEIGHTS = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.75, -1.25, 0.5))


def exact_softmax(row: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Log-sum-exp and probabilities, the largest score taken out."""
    top = max(row)
    total = mpmath.fsum(mpmath.exp(s - top) for s in row)
    return top + mpmath.log(total), [mpmath.exp(s - top) / total for s in row]


def cross_entropy(row: Sequence[Any], label: int) -> Exact:
    _, p = exact_softmax(row)
    others = mpmath.fsum(q for c, q in enumerate(p) if c != label)
    value = mpmath.log1p(mpmath.fsum(mpmath.exp(s - row[label]) for c, s in enumerate(row) if c != label))
    return Exact([value, *(-others if c == label else q for c, q in enumerate(p))])


def multiclass_hinge(row: Sequence[Any], label: int) -> Exact:
    terms = [0 if c == label else max(0, s - row[label] + 1) for c, s in enumerate(row)]
    count = sum(term > 0 for term in terms)
    slopes = [-count if c == label else int(term > 0) for c, term in enumerate(terms)]
    # the difference of two scores is rounded before the margin is added
    return Exact([mpmath.fsum(terms), *slopes], {0: mpmath.fsum(abs(s) + 1 for s in row)})


LABELLED = {"softmax_cross_entropy": cross_entropy, "multiclass_hinge": multiclass_hinge}


@lru_cache
def labelled_program(name: str, backend: str, dtype: str) -> Callable[..., list[numpy.ndarray]]:
    """Loss and gradient of one row of three scores, compiled once."""
    scores, label = graphc.input("scores", (1, 3), dtype=dtype), graphc.input("label", (1,), dtype="int32")
    loss = registry.function(name)(scores, label)
    roots = [loss, graphc.backward(loss, wrt=[scores]).grad(scores)]
    if backend == "reference":
        return lambda row, c: evaluate(roots, {scores: row, label: c})
    program = graphc.compile(roots, dtype=dtype)
    return lambda row, c: program(scores=row, label=c)


@pytest.mark.parametrize("name", LABELLED)
@each_backend
def test_losses_of_labelled_rows_keep_their_digits(name: str, backend: str, dtype: str) -> None:
    program = labelled_program(name, backend, dtype)
    outcomes = []
    with mpmath.workdps(DIGITS):
        for given in ROWS:
            row = numpy.array([given], dtype)
            for label in range(3):
                found = program(row, numpy.array([label], "int32"))
                flat = [float(x) for array in found for x in numpy.ravel(array)]
                exact = LABELLED[name]([mpmath.mpf(float(s)) for s in row[0]], label)
                outcomes.append(compare(flat, exact, dtype, (given, label)))
        conclude(outcomes, least=2 * len(ROWS))


def softmax(row: Sequence[Any], weights: Sequence[float]) -> Exact:
    _, p = exact_softmax(row)
    mean = mpmath.fsum(w * q for w, q in zip(weights, p, strict=True))
    size = mpmath.fsum(abs(w) * q for w, q in zip(weights, p, strict=True))
    slopes = [q * (w - mean) for w, q in zip(weights, p, strict=True)]
    scales = {3 + k: q * (abs(w) + size) for k, (w, q) in enumerate(zip(weights, p, strict=True))}
    return Exact([*p, *slopes], scales)


def log_softmax(row: Sequence[Any], weights: Sequence[float]) -> Exact:
    z, p = exact_softmax(row)
    total = mpmath.fsum(mpmath.mpf(w) for w in weights)
    values = [s - z for s in row]
    slopes = [w - q * total for w, q in zip(weights, p, strict=True)]
    scales = {3 + k: abs(w) + q * abs(total) for k, (w, q) in enumerate(zip(weights, p, strict=True))}
    # the logarithm of a probability near 1 is a difference of two scores
    return Exact([*values, *slopes], {**{k: max(map(abs, values)) for k in range(3)}, **scales})


NORMALISED = {"softmax": softmax, "log_softmax": log_softmax}


@pytest.mark.parametrize("name", NORMALISED)
@each_backend
def test_normalised_rows_keep_their_digits(name: str, backend: str, dtype: str) -> None:
    rows = numpy.array([row for row in ROWS for _ in WEIGHTS], dtype)
    weights = numpy.array([w for _ in ROWS for w in WEIGHTS])
    value, slope = run(registry.function(name), {"x": rows}, backend, dtype, weights)
    with mpmath.workdps(DIGITS):
        conclude(
            (
                compare(
                    [*map(float, value[k]), *map(float, slope[k])],
                    NORMALISED[name]([mpmath.mpf(float(s)) for s in rows[k]], weights[k].tolist()),
                    dtype,
                    (rows[k].tolist(), weights[k].tolist()),
                )
                for k in range(len(rows))
            ),
            least=3 * len(rows),
        )


@each_backend
def test_logsumexp_keeps_its_digits(backend: str, dtype: str) -> None:
    rows = numpy.array(ROWS, dtype)
    value, slope = run(lambda x: graphc.logsumexp(x, axes=1), {"x": rows}, backend, dtype, numpy.ones(len(rows)))
    outcomes = []
    with mpmath.workdps(DIGITS):
        for k, row in enumerate(rows):
            z, p = exact_softmax([mpmath.mpf(float(s)) for s in row])
            exact = Exact([z, *p], {0: max(abs(z), 1)})
            outcomes.append(compare([float(value[k]), *map(float, slope[k])], exact, dtype, row.tolist()))
        conclude(outcomes, least=2 * len(rows))


# ---- rows of other operands -------------------------------------------------------------------------

DISTRIBUTIONS = (
    (1.0, 0.0, 0.0),
    (0.5, 0.25, 0.25),
    (1e-30, 1.0, 1e-10),
    (0.2, 0.3, 0.5),
    (0.2000001, 0.2999999, 0.5),
    (1e-3, 1e-3, 0.998),
)


def kl_divergence(p: Sequence[Any], q: Sequence[Any]) -> Exact:
    pairs = list(zip(p, q, strict=True))
    value = mpmath.fsum(a * mpmath.log(a / b) for a, b in pairs if a > 0)
    slopes = [mpmath.log(a / b) + 1 if a > 0 else 0 for a, b in pairs] + [-a / b for a, b in pairs]
    # positive and negative terms cancel where the distributions agree
    scales = {0: mpmath.fsum(a * (abs(mpmath.log(a)) + abs(mpmath.log(b)) + 1) for a, b in pairs if a > 0)}
    scales |= {k: abs(mpmath.log(a)) + abs(mpmath.log(b)) + 1 for k, (a, b) in enumerate(pairs, 1) if a > 0}
    return Exact([value, *slopes], scales)


@each_backend
def test_the_divergence_keeps_its_digits(backend: str, dtype: str) -> None:
    pairs = [(p, q) for p in DISTRIBUTIONS for q in DISTRIBUTIONS if all(q)]
    arrays = {"p": numpy.array([p for p, _ in pairs], dtype), "q": numpy.array([q for _, q in pairs], dtype)}
    found = run(
        lambda p, q: graphc.kl_divergence(p, q, reduction="none"), arrays, backend, dtype, numpy.ones(len(pairs))
    )
    outcomes = []
    with mpmath.workdps(DIGITS):
        for k, pair in enumerate(pairs):
            exact = kl_divergence(*([mpmath.mpf(float(v)) for v in arrays[name][k]] for name in "pq"))
            outcomes.append(compare([float(x) for a in found for x in numpy.ravel(a[k])], exact, dtype, pair))
        conclude(outcomes, least=5 * len(pairs))


TRIPLES = (
    ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    ((1e-30, 1e-10), (1e-10, 1e-30), (0.0, 0.0)),
    ((1e4, -1e4), (1e4, -9999.0), (9999.0, -1e4)),
    ((1e4, 1e4), (-1e4, -1e4), (1e4, 1e4)),
    ((0.5, 1.0), (30.0, 0.5), (1e-3, 2.0)),
    ((0.5, 1.0), (0.25, 1.0), (30.0, 100.0)),
    ((1234.567, -9876.54), (1233.1, -9876.6), (1234.6, -9876.5)),
)


def triplet_loss(a: Sequence[Any], p: Sequence[Any], n: Sequence[Any]) -> Exact:
    near = mpmath.fsum((x - y) ** 2 for x, y in zip(a, p, strict=True))
    far = mpmath.fsum((x - y) ** 2 for x, y in zip(a, n, strict=True))
    on = near - far + 1 > 0
    slopes = [2 * (z - y) * on for y, z in zip(p, n, strict=True)]
    slopes += [2 * (y - x) * on for x, y in zip(a, p, strict=True)]
    slopes += [2 * (x - z) * on for x, z in zip(a, n, strict=True)]
    # two distances are subtracted, and two differences in the slope of the anchor
    scales = {0: near + far + 1}
    scales |= {k: abs(x - y) + abs(x - z) for k, (x, y, z) in enumerate(zip(a, p, n, strict=True), 1)}
    return Exact([max(0, near - far + 1), *slopes], scales)


@each_backend
def test_the_triplet_loss_keeps_its_digits(backend: str, dtype: str) -> None:
    names = ("anchor", "positive", "negative")
    arrays = {name: numpy.array([row[k] for row in TRIPLES], dtype) for k, name in enumerate(names)}
    found = run(
        lambda a, p, n: graphc.triplet_loss(a, p, n, reduction="none"), arrays, backend, dtype, numpy.ones(len(TRIPLES))
    )
    outcomes = []
    with mpmath.workdps(DIGITS):
        for k, triple in enumerate(TRIPLES):
            exact = triplet_loss(*([mpmath.mpf(float(v)) for v in arrays[name][k]] for name in names))
            outcomes.append(compare([float(x) for a in found for x in numpy.ravel(a[k])], exact, dtype, triple))
        conclude(outcomes, least=4 * len(TRIPLES))
