"""The contract over the registry: every promise, for every gate in it. No gate is named here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from graphc.graph import registry
from tests.gates import contract

NAMES = registry.names()
SAMPLES = [(name, k) for name in NAMES for k in range(len(registry.gate(name).samples))]
DTYPES = ("float32", "float64")

Count = Callable[..., None]

each_gate = pytest.mark.parametrize("name", NAMES)
each_sample = pytest.mark.parametrize(("name", "k"), SAMPLES, ids=[f"{n}-{k}" for n, k in SAMPLES])
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """Hand the number of comparisons to the summary at the end; none is a failure unless allowed."""

    def record(compared: int, *, may_be_none: bool = False) -> None:
        assert compared > 0 or may_be_none, "nothing was compared"
        request.node.user_properties.append(("comparisons", compared))

    return record


def test_the_registry_holds_the_gates_and_every_gate_has_samples(count: Count) -> None:
    assert len(NAMES) >= 22
    for name in NAMES:
        gate = registry.gate(name)
        assert gate.name == name
        assert gate.samples, f"{name} has no samples"
        assert any(sample.values is not None or len(gate.samples) > 1 for sample in gate.samples)
    count(len(SAMPLES))


@each_sample
def test_the_shape_rule_is_the_shape_that_the_reference_fills(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_shape(gate, gate.samples[k]))


@each_sample
def test_the_adjoint_is_the_slope_along_random_directions(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_adjoint(gate, gate.samples[k]))


@each_sample
def test_the_second_order_is_the_slope_of_the_gradient(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_second_order(gate, gate.samples[k]), may_be_none=not gate.differentiable)


@each_sample
def test_the_stable_form_is_the_definition(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_stable_form(gate, gate.samples[k]), may_be_none=gate.stable is None)


@each_gate
def test_the_scatter_form_is_the_gather_form_or_a_reason_is_given(name: str, count: Count) -> None:
    gate = registry.gate(name)
    if not gate.differentiable:
        assert not gate.scatter_only
        return
    count(contract.check_scatter_and_gather(gate, gate.samples))


@each_sample
def test_the_latex_is_laid_out(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_latex(gate, gate.samples[k]))


@pytest.mark.slow
@each_sample
def test_long_latex_is_laid_out(name: str, k: int, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_latex(gate, gate.samples[k], longest=10**6))


@each_dtype
@each_gate
def test_the_kernels_are_the_reference(name: str, dtype: str, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_kernels(gate, gate.samples, dtype))


@each_gate
def test_the_reference_is_right_from_1e_minus_30_to_1e4(name: str, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_points_reference(gate), may_be_none=contract.elementwise_text(gate) is None)


@each_dtype
@each_gate
def test_the_kernels_are_right_from_1e_minus_30_to_1e4(name: str, dtype: str, count: Count) -> None:
    gate = registry.gate(name)
    count(contract.check_points_kernels(gate, dtype), may_be_none=contract.elementwise_text(gate) is None)


@each_gate
def test_the_docstring_is_complete(name: str, count: Count) -> None:
    count(contract.check_docstring(registry.gate(name), registry.function(name)))


@each_gate
def test_the_examples_print_what_they_say(name: str, count: Count) -> None:
    count(contract.check_examples(registry.gate(name), registry.function(name)))


@each_gate
def test_operands_and_attributes_are_the_parameters_of_the_function(name: str, count: Count) -> None:
    count(contract.check_signature(registry.gate(name), registry.function(name)))


@each_gate
def test_the_values_of_the_samples_hold(name: str, count: Count) -> None:
    gate = registry.gate(name)
    none = all(sample.values is None for sample in gate.samples)
    count(contract.check_values(gate, gate.samples), may_be_none=none)
