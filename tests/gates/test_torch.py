"""PyTorch as a judge: values and all gradients of the float64 reference equal PyTorch's in float64.

The tables in the folder `pytorch` say for each gate what PyTorch computes in its place. A gate is in one of them, or in
the list of gates that PyTorch does not have, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import graphc
from graphc.graph import Node, registry
from graphc.graph.reference import evaluate

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tests.gates.pytorch.case import Case, Difference, Row  # noqa: E402 - only where PyTorch is
from tests.gates.pytorch.table import KNOWN_DIFFERENCES, NOT_IN_TORCH, ROWS  # noqa: E402 - the same

#: Largest |a - b| over the largest |b|.
TOLERANCE = 1e-9
COUNTS: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small arrays: threads only cost; at the end, what was compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"PyTorch {torch.__version__}: {len(COUNTS)} gates, {sum(COUNTS.values())} comparisons")


def drawn(case: Case) -> list[numpy.ndarray]:
    """Distinct values without 0, away from kinks, unless the case gives its own."""
    if case.values is not None:
        kinds = ["int64" if k in case.integers else "float64" for k in range(len(case.shapes))]
        return [numpy.asarray(value, dtype=kind) for value, kind in zip(case.values, kinds, strict=True)]
    generator = numpy.random.default_rng(len(case.shapes) + sum(math.prod(shape) for shape in case.shapes))
    total = sum(math.prod(shape) for k, shape in enumerate(case.shapes) if k not in case.integers)
    low, high = case.interval
    cells = total + total % 2 + 2
    pool = generator.permutation(low + (numpy.arange(cells) + 0.5) * (high - low) / cells)
    arrays, taken = [], 0
    for k, shape in enumerate(case.shapes):
        if k in case.integers:
            arrays.append(generator.integers(0, case.integers[k], shape))
        else:
            arrays.append(pool[taken : taken + math.prod(shape)].reshape(shape))
            taken += math.prod(shape)
    return arrays


def sequence_of(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def ours(name: str, row: Row, case: Case, arrays: list[numpy.ndarray]) -> tuple[list[Any], list[Any], list[Any]]:
    """Values of all outputs, what arrives at them, and gradients of all float operands."""
    nodes = [
        graphc.input(f"operand{k}", array.shape, "int32" if k in case.integers else "float64")
        for k, array in enumerate(arrays)
    ]
    outputs: tuple[Node, ...] = sequence_of(row.ours(registry.function(name), nodes, dict(case.attributes)))
    values: dict[Node, Any] = dict(zip(nodes, arrays, strict=True))
    results = evaluate(outputs, values)
    generator = numpy.random.default_rng(17)
    arriving = [generator.uniform(-1.0, 1.0, result.shape) for result in results]
    floats = [node for node in nodes if node.is_float]
    terms = []
    for output, upstream in zip(outputs, arriving, strict=True):
        if output.is_float:
            weight = graphc.input(f"upstream{len(terms)}", upstream.shape, "float64")
            values[weight] = upstream
            terms.append(graphc.sum(graphc.mul(output, weight)))
    if not terms or not floats:
        return results, arriving, []
    scalar = terms[0]
    for term in terms[1:]:
        scalar = graphc.add(scalar, term)
    back = graphc.backward(scalar, wrt=floats)
    gradients = evaluate([back.grad(node) for node in floats], values)
    shapes = [values[node].shape for node in floats]
    return results, arriving, [numpy.broadcast_to(g, s) for g, s in zip(gradients, shapes, strict=True)]


def theirs(row: Row, case: Case, arrays: list[numpy.ndarray], arriving: list[Any]) -> tuple[list[Any], list[Any]]:
    """Values of all outputs and gradients of all float operands, by PyTorch."""
    tensors = [torch.tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]
    outputs = sequence_of(row.theirs(*tensors, **case.attributes))
    floats = [tensor for tensor in tensors if tensor.requires_grad]
    terms = [
        (output * torch.tensor(upstream)).sum()
        for output, upstream in zip(outputs, arriving, strict=True)
        if output.requires_grad
    ]
    gradients = [torch.zeros_like(tensor) for tensor in floats]
    if terms:
        found = torch.autograd.grad(sum(terms), floats, allow_unused=True)
        gradients = [g if g is not None else z for g, z in zip(found, gradients, strict=True)]
    return [output.detach().numpy() for output in outputs], [g.numpy() for g in gradients]


def assert_equal(found: Any, wanted: Any, what: str) -> None:
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, PyTorch {wanted.shape}"
    if not wanted.size:
        return
    assert numpy.isfinite(wanted).all(), f"{what}: PyTorch's are not finite"
    error = float(numpy.abs(found - wanted).max())
    assert error <= TOLERANCE * float(numpy.abs(wanted).max()) + 1e-300, (
        f"{what}: differs by {error:.3g}\n{found}\nPyTorch\n{wanted}"
    )


def compare(name: str, row: Row, case: Case) -> int:
    """Compare one case; return how many arrays were compared."""
    arrays = drawn(case)
    what = f"{name}{case.shapes} {dict(case.attributes)}"
    results, arriving, gradients = ours(name, row, case, arrays)
    values, wanted = theirs(row, case, arrays, arriving)
    assert len(results) == len(values), what
    for found, value in zip(results, values, strict=True):
        assert_equal(found, value, f"{what}, value")
    for k, (found, gradient) in enumerate(zip(gradients, wanted, strict=bool(gradients))):
        assert_equal(found, gradient, f"{what}, gradient {k}")
    return len(results) + len(gradients)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_gate_agrees_with_pytorch(name: str) -> None:
    row = ROWS[name]
    assert row.cases
    COUNTS[name] = sum(compare(name, row, case) for case in row.cases)
    assert COUNTS[name] >= len(row.cases)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_gradients_are_compared_wherever_one_flows(name: str) -> None:
    case = ROWS[name].cases[0]
    _, _, gradients = ours(name, ROWS[name], case, drawn(case))
    floats = len(case.shapes) - len(case.integers)
    expected = floats if name not in ("argmax", "argmin", "one_hot") else 0
    assert len(gradients) == expected
    if registry.gate(name).differentiable:
        assert any(numpy.any(gradient) for gradient in gradients)


def test_every_gate_is_judged_or_has_a_reason_why_not() -> None:
    assert not set(ROWS) & set(NOT_IN_TORCH)
    assert sorted(registry.names()) == sorted([*ROWS, *NOT_IN_TORCH])
    assert all(len(reason) > 20 for reason in NOT_IN_TORCH.values())


@pytest.mark.parametrize("known", KNOWN_DIFFERENCES, ids=lambda known: known.gate)
def test_known_differences_are_real_and_documented(known: Difference) -> None:
    values = known.values
    case = Case(tuple(numpy.shape(value) for value in values), known.attributes, values=values)
    arrays = drawn(case)
    nodes = [graphc.input(f"operand{k}", array.shape, "float64") for k, array in enumerate(arrays)]
    output = registry.function(known.gate)(*nodes, **known.attributes)
    back = graphc.backward(output, wrt=nodes, upstream=numpy.ones(tuple(int(str(e)) for e in output.shape)))
    given = dict(zip(nodes, arrays, strict=True))
    (result,) = evaluate([output], given)
    gradients = evaluate([back.grad(node) for node in nodes], given)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = known.theirs(*tensors, **known.attributes)
    wanted = torch.autograd.grad(value.sum(), tensors)
    assert_equal(result, value.detach().numpy(), known.gate)
    for gradient, promised in zip(gradients, known.gradients, strict=True):
        numpy.testing.assert_allclose(numpy.broadcast_to(gradient, numpy.shape(promised)), promised, rtol=1e-12)
    assert any(
        not numpy.allclose(gradient, other.numpy()) for gradient, other in zip(gradients, wanted, strict=True)
    ), "PyTorch agrees now: this is a difference no more"
    docstring = " ".join((registry.function(known.gate).__doc__ or "").split())
    assert known.documented in docstring
    assert known.documented or registry.gate(known.gate).ties, "a choice at a kink is written down in `ties`"
