"""Judging the judge: one deliberately wrong gate for each class of defect, and the contract catches it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import ShapeError
from graphc.formula import adjoint as adjoints
from graphc.formula import definition as definitions
from graphc.formula.definition import Definition
from graphc.formula.expression import ONE, Call, Expression, Symbol
from graphc.formula.gather import gather_or_reason
from graphc.formula.statement import Divides, Statement
from graphc.graph import Gate, Node, Sample
from tests.gates import contract


def slow_tanh(x: Node) -> Node:
    """Hyperbolic tangent by its definition.

    Parameters
    ----------
    x : Node, any shape
        Operand.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        Never.

    Notes
    -----
    Cost: 1 read, 1 write.

    Source
    ------
    Definition

    Examples
    --------
    >>> 1 + 1
    2
    >>> 2 + 2
    4
    """
    return make()(x)


def make(text: str = "y = tanh(x) * x", **options: Any) -> Gate:
    settings: dict[str, Any] = {
        "samples": (Sample(((3, 5),), values=((2.0,), 2 * math.tanh(2.0))),),
        "source": "Definition",
    }
    return Gate("slow_tanh", text, ("x",), **(settings | options))


WINDOW = Gate(
    "window",
    Definition("y[i] = sum(x[2*i + r] * w[r], r)"),
    ("x", "w"),
    samples=(Sample(((9,), (3,))), Sample(((8,), (3,)))),
)


def with_extent(gate: Gate, text: str, outside: int | str | None = None) -> Gate:
    definition = gate.definition
    assert isinstance(definition, Definition)
    policy = {} if outside is None else {"x": outside}
    return replace(gate, definition=replace(definition, extents={"i": text}, outside=policy), _bound={})


@pytest.fixture
def no_memory() -> Iterator[Callable[[], None]]:
    """Forget derived formulas before and after: a broken derivative must not stay in the memo."""

    def forget() -> None:
        adjoints._adjoint.cache_clear()

    forget()
    yield forget
    forget()


def test_the_right_gates_pass() -> None:
    assert contract.check_adjoint(make(), make().samples[0]) > 0
    assert contract.check_second_order(make(), make().samples[0]) > 0
    assert contract.check_values(make(), make().samples) == 1
    assert contract.check_docstring(make(), slow_tanh) > 0
    assert contract.check_examples(make(), slow_tanh) > 0
    assert contract.check_points_reference(make()) > 20
    for sample in WINDOW.samples:
        assert contract.check_shape(WINDOW, sample) > 2
    assert contract.check_scatter_and_gather(WINDOW, WINDOW.samples) == 4


def test_a_gate_with_two_outputs_goes_through_the_same_contract() -> None:
    polar = Gate(
        "polar",
        "r[n] = sqrt(x[n]**2 + y[n]**2)\np[n] = x[n]*y[n]",
        ("x", "y"),
        samples=(Sample(((5,), (5,)), interval=(0.5, 2.0)), Sample(((1,), (1,)), interval=(0.5, 2.0))),
    )
    for sample in polar.samples:
        assert contract.check_shape(polar, sample) == 4
        assert contract.check_adjoint(polar, sample) == 4
        assert contract.check_second_order(polar, sample) == 4
    assert contract.check_scatter_and_gather(polar, polar.samples) > 4
    assert contract.check_kernels(polar, polar.samples, "float64") == 8


def test_a_wrong_value_of_a_sample_is_caught() -> None:
    wrong = make(samples=(Sample(((3, 5),), values=((2.0,), 1.9291)),))
    with pytest.raises(AssertionError, match="the source says 1.9291"):
        contract.check_values(wrong, wrong.samples)


def test_a_wrong_shape_of_a_sample_value_is_caught() -> None:
    wrong = make(samples=(Sample(((3, 5),), values=((2.0,), [1.928])),))
    with pytest.raises(AssertionError, match="the source says"):
        contract.check_values(wrong, wrong.samples)


def test_a_derivative_that_drops_a_factor_is_caught(
    monkeypatch: pytest.MonkeyPatch, no_memory: Callable[[], None]
) -> None:
    right = adjoints.derivative

    def wrong(expression: Expression, name: str) -> Expression:
        slope = right(expression, name)
        first_term = slope
        while isinstance(first_term, Call) and first_term.function in ("add", "mul"):
            first_term = first_term.operands[0]
        return first_term

    monkeypatch.setattr(adjoints, "derivative", wrong)
    with pytest.raises(AssertionError, match="gradient of x_: derived"):
        contract.check_adjoint(make(), make().samples[0])


def test_a_derivative_with_the_wrong_sign_in_second_order_only_is_caught(
    monkeypatch: pytest.MonkeyPatch, no_memory: Callable[[], None]
) -> None:
    right = adjoints.derivative

    def wrong(expression: Expression, name: str) -> Expression:
        first_order = "g" not in set(contract_symbols(expression))
        slope = right(expression, name)
        return slope if first_order or name == "g" else Call("neg", (slope,))

    monkeypatch.setattr(adjoints, "derivative", wrong)
    gate = make()
    assert contract.check_adjoint(gate, gate.samples[0]) > 0
    with pytest.raises(AssertionError, match="second order in x_"):
        contract.check_second_order(gate, gate.samples[0])


def contract_symbols(expression: Expression) -> set[str]:
    if isinstance(expression, Symbol):
        return {expression.name}
    if isinstance(expression, Call):
        return set().union(*map(contract_symbols, expression.operands))
    return set()


def test_a_missing_stable_form_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert contract.check_points_reference(make("y = log(1 + exp(x))")) > 20
    monkeypatch.setattr(definitions, "rewritten", lambda body: (body, ()))
    with pytest.raises(AssertionError, match=r"found inf, exact 1000"):
        contract.check_points_reference(make("y = log(1 + exp(x))"))


def test_a_formula_that_loses_its_digits_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"at \(-1000\): found 0.000999999"):
        contract.check_points_reference(make("y = (x + sqrt(x**2 + 4)) / 2"))


def test_a_wrong_stable_form_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "rewritten", lambda body: (Call("sigmoid", (Symbol("x"),)), ()))
    with pytest.raises(AssertionError, match="points are wrong"):
        contract.check_points_reference(make("y = tanh(x)"))


def test_an_output_that_is_too_large_for_its_operand_is_caught() -> None:
    too_large = with_extent(WINDOW, "size(x,0)//2 + 1")
    with pytest.raises(ShapeError, match="x has extent 9"):
        contract.check_shape(too_large, too_large.samples[0])


def test_a_padded_output_with_windows_that_see_nothing_is_caught() -> None:
    too_large = with_extent(WINDOW, "size(x,0)", outside=0)
    with pytest.raises(AssertionError, match="4 elements of y see no operand element"):
        contract.check_shape(too_large, too_large.samples[0])


def test_an_output_that_is_smaller_than_its_operand_allows_is_caught() -> None:
    too_small = with_extent(WINDOW, "size(x,0)//2 - 1")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.check_shape(too_small, too_small.samples[0])


def test_a_gather_form_that_forgets_divisibility_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(statement: Statement) -> tuple[Statement | None, str]:
        form, reason = gather_or_reason(statement)
        if form is None:
            return None, reason
        return replace(form, guards=tuple(g for g in form.guards if not isinstance(g, Divides))), ""

    every_other = Gate("every_other", "y[i] = x[2*i]", ("x",), samples=(Sample(((7,),)),))
    assert contract.check_scatter_and_gather(every_other, every_other.samples) == 1
    monkeypatch.setattr(contract, "gather_or_reason", wrong)
    with pytest.raises(AssertionError, match="scatter and gather differ"):
        contract.check_scatter_and_gather(every_other, every_other.samples)


def test_a_missing_or_needless_reason_for_scatter_is_caught() -> None:
    lookup = Gate(
        "lookup",
        Definition("y[n] = x[t[n]]", integers=frozenset({"t"})),
        ("x", "t"),
        samples=(Sample(((5,), (4,)), integers={1: 5}),),
    )
    with pytest.raises(AssertionError, match="gives no reason"):
        contract.check_scatter_and_gather(lookup, lookup.samples)
    assert contract.check_scatter_and_gather(replace(lookup, scatter_only="depends on data"), lookup.samples)
    needless = replace(WINDOW, scatter_only="because")
    with pytest.raises(AssertionError, match="all its adjoints have a gather form"):
        contract.check_scatter_and_gather(needless, needless.samples)


@pytest.mark.parametrize("section", contract.SECTIONS)
def test_a_missing_docstring_section_is_caught(section: str) -> None:
    text = inspect.cleandoc(slow_tanh.__doc__ or "")  # Python 3.13 strips the indentation, earlier ones keep it
    rule = "-" * len(section)
    assert f"{section}\n{rule}\n" in text

    def function(x: Node) -> Node:
        return x

    function.__doc__ = text.replace(f"{section}\n{rule}\n", "")
    with pytest.raises(AssertionError, match="slow_tanh: sections"):
        contract.check_docstring(make(), function)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x : Node, any shape", "z : Node, any shape", "x is not described"),
        ("x : Node, any shape", "x : Node", "the shape of x is not said"),
        ("Cost: 1 read", "About 1 read", "the cost is not said"),
        ("Definition\n", "\n", "an empty section"),
    ],
)
def test_a_docstring_that_says_too_little_is_caught(old: str, new: str, message: str) -> None:
    def function(x: Node) -> Node:
        return x

    assert old in (slow_tanh.__doc__ or "")
    function.__doc__ = (slow_tanh.__doc__ or "").replace(old, new)
    with pytest.raises(AssertionError, match=message):
        contract.check_docstring(make(), function)


def test_an_example_that_prints_something_else_is_caught() -> None:
    def function(x: Node) -> Node:
        return x

    text = inspect.cleandoc(slow_tanh.__doc__ or "") + "\n"
    assert "\n4\n" in text
    function.__doc__ = text.replace("\n4\n", "\n5\n")
    with pytest.raises(AssertionError, match="Expected:"):
        contract.check_examples(make(), function)


def test_a_missing_source_is_caught() -> None:
    with pytest.raises(AssertionError, match="source is empty"):
        contract.check_docstring(make(source=""), slow_tanh)


def test_operands_that_are_not_the_parameters_are_caught() -> None:
    def slow_tanh(z: Node) -> Node:
        return z

    with pytest.raises(AssertionError, match="parameters"):
        contract.check_signature(make(), slow_tanh)


def test_a_latex_text_that_is_not_closed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziamath", reason="ziamath lays LaTeX out; install graphc[draw]")
    monkeypatch.setattr(contract, "gate_latex", lambda gate: r"\frac{1}{x")
    with pytest.raises(AssertionError):
        contract.check_latex(make(), make().samples[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernel_that_is_a_little_wrong_is_caught(dtype: str) -> None:
    right = numpy.linspace(1.0, 2.0, 7).astype(dtype)
    assert contract.assert_kernel(right, right.astype("float64"), dtype, "right") == 1
    off = right.copy()
    off[3] *= 1 + 10 * contract.KERNEL_TOLERANCE[dtype]
    for wrong in (off, numpy.where(right > 1.5, math.nan, right).astype(dtype), right[:6]):
        with pytest.raises(AssertionError, match="wrong:"):
            contract.assert_kernel(wrong, right.astype("float64"), dtype, "wrong")


def test_a_kernel_of_the_wrong_dtype_is_caught() -> None:
    right = numpy.ones(3)
    with pytest.raises(AssertionError, match="dtype float64"):
        contract.assert_kernel(right, right, "float32", "wrong")


def test_a_gate_that_claims_to_be_constant_but_is_not_is_caught() -> None:
    wrong = make("y = x + 0 * x", differentiable=False)
    with pytest.raises(AssertionError, match="gradient of x_: derived 0"):
        contract.check_adjoint(wrong, wrong.samples[0])


def test_no_gate_can_hide_behind_an_empty_comparison() -> None:
    assert contract.check_points_reference(WINDOW) == 0  # the registry's test refuses 0 for such gates
    assert contract.elementwise_text(make()) is not None
    assert contract.elementwise_text(WINDOW) is None
    assert graphc.formula.expression.Number(1) == ONE
