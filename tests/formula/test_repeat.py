"""Repeats: what runs step by step, in which order, and the reverse sweep, on statements written by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy
import pytest

import graphc
from graphc.formula.parser import parse_expression
from graphc.formula.repeat import repeat_adjoint
from graphc.formula.statement import Access, Affine, Axis, Formula, Repeat, Statement, affine, size_name
from graphc.formula.steps import assembled, split
from graphc.graph.reference import evaluate, run_formula


def form(text):
    """``t + 1`` as a linear form."""
    total = Affine((), 0)
    for part in text.replace("-", "+-").split("+"):
        item = part.strip()
        sign, item = (-1, item[1:].strip()) if item.startswith("-") else (1, item)
        factor, _, name = item.rpartition("*")
        if item.lstrip("-").isdigit():
            total = total + sign * int(item)
        else:
            total = total + affine({name: sign * int(factor or 1)})
    return total


def access(tensor, index):
    return Access(tensor, tuple(form(item) for item in index.split(",") if item.strip()))


def line(text, operator=None, partial=None, **extents):
    """``h[t+1,k] = tanh(a[t,k])`` as a statement; every indexed name is a read, ``w[]`` a scalar."""
    target, sign, body = re.fullmatch(r"(.*?) (\+?=) (.*)", text).groups()
    write = access(*re.fullmatch(r"(\w+)\[(.*)\]", target).groups())
    reads = {}

    def placeholder(match):
        return reads.setdefault(access(*match.groups()), f"v{len(reads)}")

    expression = parse_expression(re.sub(r"(\w+)\[([^\]]*)\]", placeholder, body))
    names = dict.fromkeys(n for a in (write, *reads) for i in a.index for n in i.names() if n.isalpha())
    axes = tuple(Axis(name, affine(extents.get(name, {"t": "x.0"}.get(name, "h.1")))) for name in names)
    reduced = set(names) - write.axes()
    state = write.tensor == "h" or (bool(write.index) and write.index[0].plain() is None)
    return Statement(
        write,
        operator or ("sum" if reduced else "set"),
        axes,
        tuple((p, a) for a, p in reads.items()),
        expression,
        accumulate=sign == "+=",
        partial=state if partial is None else partial,
    )


def shown(groups):
    """Each group as text: whether it is a repeat, and its statements."""
    return [(cycle, [str(s) for s in statements]) for cycle, statements in groups]


# ---- split ---------------------------------------------------------------------------------------------


def test_only_what_lies_on_a_cycle_stays_in_the_loop():
    found = split(
        [
            line("a[t] = x[t]*w[]"),
            line("b[t] = a[t] + h[t]"),
            line("h[t+1] = tanh(b[t])"),
            line("y[t] = exp(h[t+1])"),
        ],
        "t",
    )
    assert shown(found) == [
        (False, ["a[t] = x[t] * w"]),
        (True, ["b[t] = a[t] + h[t]", "h[t + 1] = tanh(b[t])"]),
        (False, ["y[t] = exp(h[t + 1])"]),
    ]


def test_a_statement_that_reads_what_it_writes_is_a_loop_of_its_own():
    found = split([line("s[t+1] = s[t] + x[t]"), line("y[t] = s[t]*s[t]")], "t")
    assert [cycle for cycle, _ in found] == [True, False]


def test_without_a_cycle_nothing_runs_step_by_step():
    found = split([line("s[t+1] = x[t]"), line("y[t] = s[t]*x[t]")], "t")
    assert shown(found) == [(False, ["s[t + 1] = x[t]"]), (False, ["y[t] = s[t] * x[t]"])]


def test_two_cycles_one_after_the_other_are_two_loops():
    statements = [
        line("a[t] = g[t] + h[t+1]"),
        line("h[t+1] = tanh(h[t] + x[t])"),
        line("g[t+1] = tanh(a[t])"),
        line("y[t] = g[t+1]"),
    ]
    found = split(statements, "t")
    assert shown(found) == [
        (True, ["h[t + 1] = tanh(h[t] + x[t])"]),
        (True, ["a[t] = g[t] + h[t + 1]", "g[t + 1] = tanh(a[t])"]),
        (False, ["y[t] = g[t + 1]"]),
    ]


def test_two_states_that_see_each_other_are_one_loop():
    found = split([line("a[t+1] = b[t] + x[t]"), line("c[t] = x[t]"), line("b[t+1] = a[t]*c[t]")], "t")
    assert shown(found) == [
        (False, ["c[t] = x[t]"]),
        (True, ["a[t + 1] = b[t] + x[t]", "b[t + 1] = a[t] * c[t]"]),
    ]


def test_statements_keep_their_order_where_it_is_free():
    texts = ["a[t] = x[t]", "b[t] = x[t]*x[t]", "c[t] = x[t] + 1"]
    assert [s for _, (s,) in shown(split([line(text) for text in texts], "t"))] == [
        "a[t] = x[t]",
        "b[t] = x[t] * x[t]",
        "c[t] = x[t] + 1",
    ]


def test_every_writer_of_a_tensor_comes_before_its_reader():
    statements = [
        line("p[t,k] = x[t,k]", partial=True),
        line("h[t+1,k] = tanh(p[t,k] + p[t,k + h.1] + h[t,k])"),
        line("p[t,k + h.1] = 2*x[t,k]", partial=True),
    ]
    found = split(statements, "t")
    assert [cycle for cycle, _ in found] == [False, False, True]
    assert found[2][1] == (statements[1],)


def test_writers_of_a_tensor_keep_their_order():
    """What is added to a tensor comes behind what sets it, also where it does not depend on the state."""
    statements = [line("a[t] = tanh(h[t] + x[t])"), line("a[t] += w[]"), line("h[t+1] = a[t]*x[t]")]
    order = [s for _, group in split(statements, "t") for s in group]
    assert order.index(statements[0]) < order.index(statements[1]) < order.index(statements[2])


def test_windows_keep_all_statements_together():
    statements = [line("a[t,k] = x[t,k]"), line("h[t+1,k] = h[t,k + 2*r]*w[r]", operator="sum", r="w.0")]
    assert [cycle for cycle, _ in split(statements, "t")] == [True]
    assert split(statements, "t")[0][1] == tuple(statements)


def test_what_is_computed_before_the_steps_can_stay_inside():
    """Without room for all steps, what could be computed ahead of them is not."""
    statements = [line("a[t] = x[t]*w[]"), line("h[t+1] = tanh(a[t] + h[t])"), line("y[t] = h[t]*h[t]")]
    found = split(statements, "t", ahead=False)
    assert shown(found) == [
        (True, ["a[t] = x[t] * w", "h[t + 1] = tanh(a[t] + h[t])"]),
        (False, ["y[t] = h[t] * h[t]"]),
    ]


def test_assembled_counts_repeats_where_they_stand():
    first, inner, last = line("h[0,k] = v[k]"), line("h[t+1,k] = h[t,k]"), line("y[t,k] = h[t,k]")
    statements, repeats = assembled([first], [(True, (inner,)), (False, (last,)), (True, (inner, last))], [first], "t",
                                    backward=True)  # fmt: skip
    assert statements == (first, inner, last, inner, last, first)
    assert repeats == (Repeat(1, 2, "t", True), Repeat(3, 5, "t", True))


# ---- the reverse sweep ---------------------------------------------------------------------------------


def tiny(*lines, ranks=None, backward=False):
    """A recurrence over ``h`` whose row before the first step is ``s``; all that is written is an output."""
    ranks = {"x": 1, "w": 0, "s": 0, "h": 1} | (ranks or {})
    rank = ranks["s"]
    row = affine({"h.0": 1}, -1) if backward else Affine((), 0)
    index = tuple(affine(f"a{d}") for d in range(rank))
    axes = tuple(Axis(f"a{d}", affine(size_name("s", d))) for d in range(rank))
    start = Statement(Access("h", (row, *index)), "set", axes, (("v", Access("s", index)),), parse_expression("v"),
                      partial=True)  # fmt: skip
    groups = split([line(text) if isinstance(text, str) else text for text in lines], "t")
    statements, repeats = assembled([start], groups, (), "t", backward=backward)
    written = tuple(dict.fromkeys(s.write.tensor for s in statements))
    return Formula("tiny", ("x", "w", "s"), written, statements, ranks, {}, frozenset(), repeats=repeats)


def sizes_of(formula, steps, **extents):
    found = {}
    for tensor, rank in formula.ranks.items():
        for d in range(rank):
            found[size_name(tensor, d)] = extents.get("K", 2)
        if rank and tensor not in ("w", "s"):
            found[size_name(tensor, 0)] = steps + (tensor in ("h", "g"))
    return found


def test_gradient_of_a_tiny_recurrence_is_what_one_writes_by_hand():
    formula = tiny("h[t+1] = tanh(w[]*h[t] + x[t])")
    sizes = sizes_of(formula, 3)
    derived = repeat_adjoint(formula, ("x", "w", "s"), ("h",), sizes)
    assert str(derived.formula).splitlines() == [
        "dh[a0] = upstream_h[a0]",
        "for t from the last down:",
        # the slope comes through the value: tanh' = 1 - h*h
        "    dh[t] += dh[t + 1] * ((1 - h[t + 1] * h[t + 1]) * w)",
        "dw = sum(dh[t + 1] * ((1 - h[t + 1] * h[t + 1]) * h[t]), t)",
        "dx[t] = dh[t + 1] * (1 - h[t + 1] * h[t + 1])",
        "ds = dh[0]",
    ]
    assert derived.gradients == {"x": "dx", "w": "dw", "s": "ds"}
    assert {(o.role, o.tensor) for o in derived.operands} == {("upstream", "h"), ("output", "h"), ("input", "w")}


def judge(formula, sizes, *outputs, seed=0):
    """Gradients of a weighted sum of some outputs against central differences, for all inputs."""
    generator = numpy.random.default_rng(seed)

    def draw(tensor):
        return generator.normal(size=[sizes[size_name(tensor, d)] for d in range(formula.ranks[tensor])])

    inputs = {tensor: draw(tensor) for tensor in formula.inputs}
    upstream = {tensor: draw(tensor) for tensor in outputs}
    derived = repeat_adjoint(formula, formula.inputs, outputs, sizes)
    given = {"upstream": upstream, "input": inputs, "output": run_formula(formula, inputs, sizes)}
    operands = {n: given[o.role][o.tensor] for n, o in zip(derived.formula.inputs, derived.operands, strict=True)}
    found = run_formula(derived.formula, operands, derived.sizes)

    def loss(values):
        made = run_formula(formula, values, sizes)
        return sum((upstream[tensor] * made[tensor]).sum() for tensor in outputs)

    for tensor, value in inputs.items():
        expected = numpy.zeros_like(value)
        for place in numpy.ndindex(value.shape):
            step = numpy.zeros_like(value)
            step[place] = 1e-5
            expected[place] = (loss({**inputs, tensor: value + step}) - loss({**inputs, tensor: value - step})) / 2e-5
        actual = found[derived.gradients[tensor]] if tensor in derived.gradients else numpy.zeros_like(value)
        numpy.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8, err_msg=tensor)
    return derived


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradient_of_a_tiny_recurrence_is_that_of_central_differences(steps):
    for formula, *outputs in (
        (tiny("h[t+1] = tanh(w[]*h[t] + x[t])"), "h"),
        (tiny("h[t] = tanh(w[]*h[t+1] + x[t])", backward=True), "h"),
        (tiny("h[t+1] = sigmoid(w[]*h[t] + x[t])", "y[t] = h[t]*x[t]", ranks={"y": 1}), "h", "y"),
        (tiny("h[t+1] = sigmoid(w[]*h[t] + x[t])", "y[t] = h[t]*x[t]", ranks={"y": 1}), "y"),
        (tiny("a[t] = exp(x[t]*w[])", "h[t+1] = a[t] + h[t]*w[]", ranks={"a": 1}), "h"),
        (tiny("a[t] = exp(x[t]*w[])", "h[t+1] = a[t] + h[t]*w[]", ranks={"a": 1}), "h", "a"),
        (tiny("a[t] = h[t]*w[]", "h[t+1] = a[t]*a[t] + x[t]", ranks={"a": 1}), "a"),
        (tiny("h[t+1] = h[t]"), "h"),
    ):
        judge(formula, sizes_of(formula, steps), *outputs)


def test_slopes_are_taken_from_values_where_a_function_has_them_there():
    for function, slope in (
        ("tanh", "1 - h[t + 1] * h[t + 1]"),
        ("sigmoid", "h[t + 1] * (1 - h[t + 1])"),
        ("exp", "h[t + 1]"),
    ):
        formula = tiny(f"h[t+1] = {function}(h[t] + x[t])")
        text = str(repeat_adjoint(formula, ("x",), ("h",), sizes_of(formula, 3)).formula)
        assert slope in text
        assert "cosh" not in text
        assert f"{function}(" not in text
    formula = tiny("h[t+1] = sin(h[t] + x[t])")
    assert "cos(h[t] + x[t])" in str(repeat_adjoint(formula, ("x",), ("h",), sizes_of(formula, 3)).formula)


def test_a_value_that_is_added_to_has_no_slope_through_itself():
    """``a[t] = tanh(..)`` with something added behind it is no longer a tanh."""
    formula = tiny("a[t] = tanh(h[t] + x[t])", "a[t] += h[t]*w[]", "h[t+1] = a[t]*x[t]", ranks={"a": 1})
    judge(formula, sizes_of(formula, 4), "h")


def test_slope_through_a_value_beside_an_addition():
    formula = tiny("a[t] = tanh(h[t] + x[t])", "h[t+1] = a[t] + w[]", ranks={"a": 1})
    assert "a[t] * a[t]" in str(judge(formula, sizes_of(formula, 4), "h").formula)


VECTORS = {"x": 2, "s": 1, "h": 2, "w": 2}


def test_parts_of_a_row_are_set_before_anything_is_added_to_them():
    """Two gates read halves of one projection: its gradient is set part by part and never filled with zeros."""
    formula = tiny(
        line("p[t,j] = x[t,k]*w[j,k]", j="w.0", k="w.1"),
        line("a[t,k] = sigmoid(p[t,k] + h[t,k])"),
        line("h[t+1,k] = a[t,k]*tanh(p[t,k + h.1]) + h[t,k]"),
        ranks=VECTORS | {"p": 2, "a": 2},
    )
    sizes = sizes_of(formula, 3) | {"w.0": 4, "p.1": 4}
    derived = judge(formula, sizes, "h")
    written = [s for s in derived.formula.statements if s.write.tensor == "dp"]
    assert len(written) == 2
    assert all(s.partial and not s.accumulate for s in written)
    assert not any(s.body == parse_expression("0") for s in derived.formula.statements)


def test_where_parts_overlap_a_gradient_starts_from_zeros():
    """``p[t,k]`` and ``p[t,k + 1]`` overlap: neither is first everywhere."""
    formula = tiny(
        line("p[t,j] = 2*x[t,j]", j="x.1"),
        line("h[t+1,k] = tanh(p[t,k]*p[t,k + 1] + h[t,k])"),
        ranks=VECTORS | {"p": 2},
    )
    sizes = sizes_of(formula, 3) | {"p.1": 3, "x.1": 3}
    derived = repeat_adjoint(formula, ("x",), ("h",), sizes)
    zeros = [s for s in derived.formula.statements if s.write.tensor == "dp" and s.body == parse_expression("0")]
    added = [s for s in derived.formula.statements if s.write.tensor == "dp" and s not in zeros]
    assert len(zeros) == 1
    assert not zeros[0].partial
    assert added
    assert all(s.accumulate for s in added)
    judge(formula, sizes, "h")


def test_only_what_is_asked_for_is_derived():
    formula = tiny("h[t+1] = tanh(w[]*h[t] + x[t])")
    sizes = sizes_of(formula, 3)
    assert set(repeat_adjoint(formula, ("w",), ("h",), sizes).gradients) == {"w"}
    formula = tiny("h[t+1] = tanh(h[t] + x[t])", "y[t] = x[t]*w[]", ranks={"y": 1})
    derived = repeat_adjoint(formula, ("w",), ("y",), sizes_of(formula, 3))
    assert set(derived.gradients) == {"w"}
    assert [str(s) for s in derived.formula.statements] == ["dw = sum(dy[t] * x[t], t)"]  # the state has no part in it
    assert not any(statements for repeat, statements in derived.formula.groups() if repeat is not None)


# ---- second order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_second_order_of_a_small_recurrent_network(backward):
    x, h = graphc.input("x", (3, "N", 2), "float64"), graphc.input("h", ("N", 2), "float64")
    w, u = graphc.input("w", (2, 2), "float64"), graphc.input("u", (2, 2), "float64")

    def cell(x, h):
        h = graphc.rnn_cell(x, h, w, u)
        return h, h

    outputs, last = graphc.unroll(cell, x, h, backward=backward)
    loss = graphc.sum(outputs * outputs) + graphc.sum(graphc.sin(last))
    first = graphc.backward(loss, wrt=[u, x])
    size = graphc.sum(first.grad(u) * first.grad(u)) + graphc.sum(graphc.exp(first.grad(x)))
    nodes = (x, h, w, u)
    second = graphc.backward(size, wrt=list(nodes))
    generator = numpy.random.default_rng(1)
    values = {n: generator.normal(size=[2 if str(e) == "N" else e for e in n.shape]) for n in nodes}
    found = evaluate([second.grad(n) for n in nodes], values)
    for node, actual in zip(nodes, found, strict=True):
        expected = numpy.zeros_like(actual)
        for place in numpy.ndindex(actual.shape):
            step = numpy.zeros_like(actual)
            step[place] = 1e-5
            more, less = (evaluate([size], {**values, node: values[node] + s * step})[0] for s in (1, -1))
            expected[place] = (more - less) / 2e-5
        numpy.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=node.label)


def test_second_order_of_a_tiny_recurrence_by_hand():
    """h[t+1] = w*h[t], so h[3] = w**3 * s: the derivatives are 3*w**2*s and 6*w*s."""
    w = graphc.input("w", (), "float64")
    _, last = graphc.unroll(lambda _, h: (h, w * h), None, graphc.input("s", (), "float64"), 3)
    first = graphc.backward(last, wrt=[w]).grad(w)
    second = graphc.backward(first, wrt=[w]).grad(w)
    third = graphc.backward(second, wrt=[w]).grad(w)
    s = next(n for n in graphc.graph.topological([last]) if n.name == "s")
    found = evaluate([first, second, third], {w: 2.0, s: 5.0})
    assert [float(value) for value in found] == [60.0, 60.0, 30.0]


def test_a_formula_without_its_repeat_is_another_formula():
    formula = tiny("h[t+1] = tanh(w[]*h[t] + x[t])")
    assert replace(formula, repeats=()) != formula
    assert "for t from 0 up:" in str(formula)
