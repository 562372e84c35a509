"""Adjoints of affine reads against dense Jacobians, element by element: scatter and gather form."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc
from graphc.formula.adjoint import adjoint
from graphc.formula.definition import Definition, bind
from graphc.formula.expression import Call, Symbol
from graphc.formula.gather import gather
from graphc.formula.statement import Access, Affine, Axis, Formula, Interval, Statement, affine
from graphc.graph.reference import run_statement


def run(statement: Statement, tensors: dict[str, numpy.ndarray], sizes: dict[str, int]) -> numpy.ndarray:
    """Run one statement into zeros."""
    target = statement.write.tensor
    shape = tuple(sizes[f"{target}.{d}"] for d in range(len(statement.write.index)))
    held = {**tensors, target: numpy.zeros(shape)}
    run_statement(statement, held, sizes)
    return held[target]


def window(coefficients: tuple[int, int, int]) -> Formula:
    """``y[i] = sum(x[a*i + b*r + c] * w[r], r)`` with zeros outside."""
    a, b, c = coefficients
    index = affine({"i": a, "r": b}, c)
    statement = Statement(
        Access("y", (affine("i"),)),
        "sum",
        (Axis("i", affine("y.0")), Axis("r", affine("w.0"))),
        (("x", Access("x", (index,))), ("w", Access("w", (affine("r"),)))),
        Call("mul", (Symbol("x"), Symbol("w"))),
        (Interval(index, affine("x.0")),),
    )
    return Formula("window", ("x", "w"), ("y",), (statement,), {"x": 1, "w": 1, "y": 1}, {"y.0": Symbol("x.0")})


ALL = list(itertools.product(range(-3, 4), range(-3, 4), range(-2, 3)))
EXTENTS = list(itertools.product((1, 2, 4, 7), (1, 3, 5), (1, 2, 3)))


def test_every_affine_index_gives_the_dense_jacobian_in_scatter_and_in_gather_form() -> None:
    """All coefficients from -3 to 3 and offsets from -2 to 2: not one difference."""
    generator = numpy.random.default_rng(0)
    differences = comparisons = gathered = 0
    for a, b, c in ALL:
        formula = window((a, b, c))
        templates = {name: adjoint(formula, name) for name in ("x", "w")}
        for extent, points, taps in EXTENTS:
            if a == b == 0 and not 0 <= c < extent:
                continue  # a constant index outside is refused when the gate is declared
            plain = formula.statements[0].reads[0][1].index[0].plain()
            if plain and extent != {"i": points, "r": taps}[plain]:
                continue  # and so is one letter with two extents
            x, w, dy = (generator.integers(-9, 10, n).astype(float) for n in (extent, taps, points))
            dense = {"x": numpy.zeros(extent), "w": numpy.zeros(taps)}
            y = numpy.zeros(points)
            for i, r in itertools.product(range(points), range(taps)):
                position = a * i + b * r + c
                if 0 <= position < extent:
                    y[i] += x[position] * w[r]
                    dense["x"][position] += dy[i] * w[r]
                    dense["w"][r] += dy[i] * x[position]
            sizes = {"x.0": extent, "w.0": taps, "y.0": points}
            tensors = {"x": x, "w": w}
            differences += int((run(formula.statements[0], tensors, sizes) != y).sum())
            for name, template in templates.items():
                assert template is not None
                (statement,) = template.formula.statements
                gradient = statement.write.tensor
                known = sizes | {f"{gradient}.0": dense[name].size, "dy.0": points}
                bound = {**tensors, "dy": dy}
                for form in (statement, gather(statement)):
                    assert form is not None, f"{statement} has no gather form"
                    found = run(form, bound, known)
                    differences += int((found != dense[name]).sum())
                    comparisons += 1
                gathered += 1
    assert differences == 0
    assert gathered == comparisons // 2 > 15_000


def test_the_adjoint_of_the_adjoint_is_the_formula_again() -> None:
    generator = numpy.random.default_rng(1)
    for a, b, c in ALL[::7]:
        if a == b == 0:
            continue
        formula = window((a, b, c))
        first = adjoint(formula, "x")
        assert first is not None
        again = adjoint(first.formula, next(n for n, o in zip(first.formula.inputs, first.operands, strict=True)
                                            if o.role == "upstream"))  # fmt: skip
        assert again is not None
        (statement,) = again.formula.statements
        x, w = generator.integers(-9, 10, 5).astype(float), generator.integers(-9, 10, 2).astype(float)
        sizes = {"x.0": 5, "w.0": 2, "y.0": 4, "dy.0": 4, "dx.0": 5}
        sizes |= {f"{statement.write.tensor}.0": 4, f"{again.formula.inputs[0]}.0": 5}
        upstream = [n for n in again.formula.inputs if n != "w"]
        found = run(statement, {upstream[0]: x, "w": w}, sizes)
        assert numpy.array_equal(found, run(formula.statements[0], {"x": x, "w": w}, sizes))


small = st.integers(-3, 3)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(small, small, small, small), st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
    st.tuples(*[st.integers(1, 5)] * 4),
)  # fmt: skip
def test_two_dimensional_affine_maps_scatter_and_gather_alike(
    matrix: tuple[int, int, int, int], offset: tuple[int, int], extents: tuple[int, int, int, int]
) -> None:
    """``y[i,j] = x[a*i + b*j + c, d*i + e*j + f]``: diagonals, transposes, shears and what is singular."""
    a, b, d, e = matrix
    index = (affine({"i": a, "j": b}, offset[0]), affine({"i": d, "j": e}, offset[1]))
    rows, columns, height, width = extents
    if any(not form.terms and not 0 <= form.constant < n for form, n in zip(index, (height, width), strict=True)):
        return
    letters = {"i": rows, "j": columns}
    if any(letters.get(form.plain() or "", n) != n for form, n in zip(index, (height, width), strict=True)):
        return
    statement = Statement(
        Access("y", (affine("i"), affine("j"))),
        "set",
        (Axis("i", affine("y.0")), Axis("j", affine("y.1"))),
        (("x", Access("x", index)),),
        Symbol("x"),
        tuple(Interval(form, affine(f"x.{k}")) for k, form in enumerate(index)),
    )
    sizes = {"y.0": rows, "y.1": columns, "x.0": height, "x.1": width, "dy.0": rows, "dy.1": columns,
             "dx.0": height, "dx.1": width}  # fmt: skip
    formula = Formula("map", ("x",), ("y",), (statement,), {"x": 2, "y": 2},
                      {"y.0": Symbol("x.0"), "y.1": Symbol("x.1")})  # fmt: skip
    dy = numpy.arange(1.0, rows * columns + 1).reshape(rows, columns)
    dense = numpy.zeros((height, width))
    for i, j in itertools.product(range(rows), range(columns)):
        p, q = a * i + b * j + offset[0], d * i + e * j + offset[1]
        if 0 <= p < height and 0 <= q < width:
            dense[p, q] += dy[i, j]
    template = adjoint(formula, "x")
    assert template is not None
    (scatter,) = template.formula.statements
    form = gather(scatter)
    assert form is not None
    assert form.race_free()
    assert numpy.array_equal(run(scatter, {"dy": dy}, sizes), dense)
    assert numpy.array_equal(run(form, {"dy": dy}, sizes), dense)


def test_the_adjoint_of_a_strided_convolution_reads_as_its_definition() -> None:
    extents = {"i": "(size(x,1) + 2*padding - size(w,0))//stride + 1"}
    blur = bind(
        "blur",
        Definition("y[n,i] = sum(x[n,stride*i+r-padding] * w[r], r)", {"x": 0}, extents),
        {"x": 2, "w": 1},
        {"stride": 2, "padding": 1},
    )
    template = adjoint(blur, "x")
    assert template is not None
    assert str(template.formula) == ("dx[n, 2*i + r - 1] += dy[n, i] * w[r]  where 0 <= 2*i + r - 1 < x.1")
    assert [(o.role, o.tensor) for o in template.operands] == [("upstream", "y"), ("input", "w")]


def test_a_read_that_appears_twice_gets_both_contributions() -> None:
    formula = bind("square", Definition("y[i] = x[i] * x[i+1]"), {"x": 1}, {})
    template = adjoint(formula, "x")
    assert template is not None
    assert [s.accumulate for s in template.formula.statements] == [False, True]


def test_an_input_that_has_no_influence_has_no_adjoint() -> None:
    formula = bind("gate", Definition("y[n] = x[n,t[n]]"), {"x": 2, "t": 1}, {})
    assert adjoint(formula, "t") is None
    winner = bind("gate", Definition("y[n] = argmax(x[n,c], c)"), {"x": 2}, {})
    assert adjoint(winner, "x") is None


def test_a_maximum_hands_everything_to_the_first_winner() -> None:
    formula = bind("top", Definition("y[n] = max(x[n,c], c)"), {"x": 2}, {})
    template = adjoint(formula, "x")
    assert template is not None
    winner, scatter = template.formula.statements
    assert winner.operator == "argmax"
    x, sizes = numpy.array([[1.0, 3.0, 3.0]]), {"x.0": 1, "x.1": 3, "dy.0": 1, "y.0": 1, "dx.0": 1, "dx.1": 3,
                                                "winner.0": 1}  # fmt: skip
    position = {"winner": numpy.zeros(1, "int64"), "x": x}
    run_statement(winner, position, sizes)
    assert position["winner"].tolist() == [1]
    bound = {"x": x, "dy": numpy.array([5.0]), "winner": position["winner"]}
    form = gather(scatter)
    assert form is not None
    assert run(scatter, bound, sizes).tolist() == run(form, bound, sizes).tolist() == [[0.0, 5.0, 0.0]]


@pytest.mark.parametrize("x", [[2.0, -3.0, 0.5], [2.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0], [7.0]])
def test_a_product_hands_each_factor_the_product_of_the_others(x: list[float]) -> None:
    node = graphc.input("x", (len(x),), dtype="float64")
    product = graphc.gate("y = prod(x[i], i)", name="product")(node)
    found = graphc.backward(product).at(x=x).grad("x")
    assert found.tolist() == [math.prod(x[:k] + x[k + 1 :]) for k in range(len(x))]


@pytest.mark.parametrize("axis", ["g", "y", "p", "dy"])
def test_an_axis_keeps_its_meaning_whatever_its_name_is(axis: str) -> None:
    """Placeholders of derivatives share an environment with the axes and must not hide them."""
    tensor = "out" if axis == "y" else "y"
    formula = bind(
        "groups",
        Definition(
            f"{tensor}[2*{axis}+k] = sum(x[2*{axis}+c] * w[2*{axis}+k,c], c)",
            extents={axis: "3", "k": "2", f"{tensor}.0": "6"},
        ),
        {"x": 1, "w": 2},
        {},
    )
    template = adjoint(formula, "x")
    assert template is not None
    (scatter,) = template.formula.statements
    generator = numpy.random.default_rng(2)
    w, dy = generator.normal(size=(6, 2)), generator.normal(size=6)
    upstream = template.formula.inputs[0]
    sizes = {"x.0": 6, "w.0": 6, "w.1": 2, f"{tensor}.0": 6, f"{upstream}.0": 6, "dx.0": 6}
    expected = numpy.zeros(6)
    for group, k, c in itertools.product(range(3), range(2), range(2)):
        expected[2 * group + c] += dy[2 * group + k] * w[2 * group + k, c]
    for form in (scatter, gather(scatter)):
        assert form is not None
        assert numpy.allclose(run(form, {upstream: dy, "w": w}, sizes), expected)


def test_the_softmax_of_a_logsumexp_never_overflows() -> None:
    formula = bind("lse", Definition("z[n] = logsumexp(x[n,c], c)"), {"x": 2}, {})
    template = adjoint(formula, "x")
    assert template is not None
    (statement,) = template.formula.statements
    x = numpy.array([[1e4, 1e4 - 1.0]])
    z = numpy.array([1e4 + math.log1p(math.exp(-1.0))])
    names = dict(zip((o.role for o in template.operands), template.formula.inputs, strict=True))
    sizes = {
        f"{n}.{d}": e for n, s in (("x", (1, 2)), ("z", (1,)), ("dx", (1, 2)), ("dz", (1,))) for d, e in enumerate(s)
    }
    found = run(statement, {names["input"]: x, names["output"]: z, names["upstream"]: numpy.ones(1)}, sizes)
    assert found.sum() == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx(1 / (1 + math.e))


def test_affine_forms_substitute_all_names_at_once() -> None:
    form = affine({"i": 2, "r": -1}, 3)
    assert form.substitute({"i": affine("r"), "r": affine("i", 1)}) == Affine((("i", -1), ("r", 2)), 2)
