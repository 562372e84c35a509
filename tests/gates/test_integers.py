"""Whole numbers stay whole: gates of int32 operands give int32, in the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

import graphc
from graphc.errors import DerivativeError
from graphc.graph import Node, registry
from graphc.graph.reference import evaluate

A = numpy.array([[3, -1, 4], [-5, 9, 2]], "int32")
B = numpy.array([[2, 7, -1], [8, -2, 8]], "int32")
#: Above 2**24 a float32 would lose the last digit.
LARGE = numpy.array([[2**24 + 1, -(2**24) - 3, 5], [2**30 + 1, 7, -(2**30) - 1]], "int32")

CASES: dict[str, tuple[Callable[[Node, Node], Node], Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]]] = {
    "add": (graphc.add, numpy.add),
    "add of a number": (lambda a, b: graphc.add(a, 3), lambda a, b: a + 3),
    "add of a row": (
        lambda a, b: graphc.add(a, graphc.constant([1, 2, 3], "int32")),
        lambda a, b: a + numpy.array([1, 2, 3]),
    ),
    "sub": (graphc.sub, numpy.subtract),
    "mul": (graphc.mul, numpy.multiply),
    "neg": (lambda a, b: graphc.neg(a), lambda a, b: -a),
    "abs": (lambda a, b: graphc.abs(a), lambda a, b: abs(a)),
    "max": (graphc.max, numpy.maximum),
    "min": (graphc.min, numpy.minimum),
    "sum": (lambda a, b: graphc.sum(a), lambda a, b: a.sum()),
    "sum over an axis": (lambda a, b: graphc.sum(a, axes=1), lambda a, b: a.sum(1)),
    "prod": (lambda a, b: graphc.prod(a, axes=0), lambda a, b: a.prod(0)),
    "prod of one": (lambda a, b: graphc.prod(graphc.reshape(a, (6, 1)), axes=1), lambda a, b: a.reshape(6)),
    "amax": (lambda a, b: graphc.amax(a, axes=1), lambda a, b: a.max(1)),
    "amin": (lambda a, b: graphc.amin(a, axes=0, keepdims=True), lambda a, b: a.min(0, keepdims=True)),
    "reshape": (lambda a, b: graphc.reshape(a, (3, 2)), lambda a, b: a.reshape(3, 2)),
    "flatten": (lambda a, b: graphc.flatten(a), lambda a, b: a),
    "where": (lambda a, b: graphc.where(graphc.max(a, 0), a, b), lambda a, b: numpy.where(a > 0, a, b)),
    "maxout": (lambda a, b: graphc.maxout(a, 3), lambda a, b: a.max(1, keepdims=True)),
    "several": (lambda a, b: graphc.sum(graphc.mul(graphc.add(a, 1), b), axes=0), lambda a, b: ((a + 1) * b).sum(0)),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_stay_integers_in_the_reference_and_compiled(name: str) -> None:
    build, expected = CASES[name]
    a, b = graphc.input("a", (2, 3), dtype="int32"), graphc.input("b", (2, 3), dtype="int32")
    output = build(a, b)
    assert output.dtype == "int32"
    (reference,) = evaluate([output], {a: A, b: B})
    assert reference.dtype.kind == "i"
    numpy.testing.assert_array_equal(reference, expected(A, B))
    program = graphc.compile([output])
    used = {n.name for n in graphc.graph.topological([output]) if n.kind == "input"}
    compiled = numpy.asarray(program(**{k: v for k, v in {"a": A, "b": B}.items() if k in used})[0])
    assert compiled.dtype == numpy.int32
    numpy.testing.assert_array_equal(compiled, expected(A, B))


@pytest.mark.parametrize(
    "name",
    ["add of a number", "sub", "sum over an axis", "prod of one", "neg", "abs", "max", "amax", "reshape", "where"],
)
def test_digits_that_a_float32_would_lose_are_kept(name: str) -> None:
    build, expected = CASES[name]
    a, b = graphc.input("a", (2, 3), dtype="int32"), graphc.input("b", (2, 3), dtype="int32")
    output = build(a, b)
    used = {n.name for n in graphc.graph.topological([output]) if n.kind == "input"}
    values = {k: v for k, v in {"a": LARGE, "b": B}.items() if k in used}
    (reference,) = evaluate([output], {n: v for n, v in ((a, LARGE), (b, B)) if n.name in used})
    numpy.testing.assert_array_equal(reference, expected(LARGE, B))
    numpy.testing.assert_array_equal(graphc.compile([output])(**values)[0], expected(LARGE, B))


def test_one_float_operand_makes_the_result_a_float() -> None:
    a, x = graphc.input("a", (2, 3), dtype="int32"), graphc.input("x", (2, 3))
    output = graphc.mul(a, x)
    assert output.dtype == "float32"
    found = graphc.compile([output])(a=A, x=B / 2)[0]
    numpy.testing.assert_array_equal(found, A * (B / 2))
    assert graphc.mul(a, graphc.input("z", dtype="float64")).dtype == "float64"


def test_whole_numbers_have_no_gradient() -> None:
    a = graphc.input("a", (2, 3), dtype="int32")
    with pytest.raises(DerivativeError, match="only floats have gradients"):
        graphc.backward(graphc.sum(graphc.mul(a, a)))


@pytest.mark.parametrize("name", [n for n in registry.names() if registry.gate(n).dtype == "operands"])
def test_samples_of_gates_that_promise_whole_numbers(name: str) -> None:
    gate = registry.gate(name)
    for sample in gate.samples:
        names = gate.names(len(sample.shapes))
        generator = numpy.random.default_rng(0)
        arrays = [
            generator.integers(0, sample.integers[k], shape)
            if k in sample.integers
            else generator.integers(-9, 9, shape)
            for k, shape in enumerate(sample.shapes)
        ]
        nodes = [graphc.input(n, s, dtype="int32") for n, s in zip(names, sample.shapes, strict=True)]
        outputs = gate.apply(tuple(nodes), sample.attributes)
        expected = evaluate(outputs, dict(zip(nodes, arrays, strict=True)))
        found = graphc.compile(list(outputs))(**dict(zip(names, arrays, strict=True)))
        for node, reference, compiled in zip(outputs, expected, found, strict=True):
            assert node.dtype == "int32"
            assert reference.dtype.kind == "i"
            assert numpy.asarray(compiled).dtype == numpy.int32
            numpy.testing.assert_array_equal(compiled, reference)


def test_a_float_that_meets_whole_numbers_makes_the_result_a_float() -> None:
    a = graphc.input("a", (2, 3), dtype="int32")
    for build, expected in (
        (lambda: graphc.mul(a, 0.5), A * 0.5),
        (lambda: a * 2.0, A * 2.0),
        (lambda: graphc.add(a, [0.5, 1.5, 2.5]), A + numpy.array([0.5, 1.5, 2.5])),
        (lambda: graphc.where(a, 1.5, 2.5), numpy.full((2, 3), 1.5)),
    ):
        output = build()
        assert output.dtype == "float32"
        numpy.testing.assert_array_equal(evaluate([output], {a: A})[0], expected)
        numpy.testing.assert_array_equal(graphc.compile([output])(a=A)[0], expected)
    assert graphc.mul(a, 2).dtype == "int32"
