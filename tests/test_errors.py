"""Bad input: every message says what was asked, what was found, where, and what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import GraphcError, Site, did_you_mean


@dataclass(frozen=True)
class Bad:
    """One bad input: what is done, the error and the parts that its message must have."""

    what: str
    do: Callable[[], Any]
    error: type[Exception]
    parts: tuple[str, ...]


def scalar(name: str = "x") -> graphc.Node:
    return graphc.input(name)


def image(*shape: Any, name: str = "image") -> graphc.Node:
    return graphc.input(name, shape)


def labels(dtype: str = "int32") -> graphc.Node:
    return graphc.input("label", ("N",), dtype=dtype)


def product() -> graphc.Node:
    x, y = graphc.input("x"), graphc.input("y")
    return (x * y).named("f")


def classifier() -> graphc.Node:
    return graphc.softmax_cross_entropy(graphc.input("scores", ("N", 3)), labels())


def same_name_twice() -> graphc.Node:
    return graphc.input("x") * graphc.input("x")


ZEROS = numpy.zeros

CASES = [
    # ---- names of gates and of nodes
    Bad("unknown gate", lambda: graphc.sigmod(scalar()), AttributeError,
        ("graphc has no gate or name 'sigmod'", "did you mean 'sigmoid'?")),
    Bad("unknown name far from all", lambda: graphc.zzzzzz, AttributeError, ("no gate or name 'zzzzzz'",)),
    Bad("unknown gate by name", lambda: graphc.graph.registry.gate("conv2"), GraphcError,
        ("there is no gate 'conv2'", "did you mean 'conv2d'?", "the command 'graphc gates' lists all")),
    Bad("node name with a line break", lambda: scalar("a\nb"), GraphcError,
        ("the name 'a\\nb' contains a line break", "one line of printable characters")),
    Bad("node name with a control character", lambda: (scalar() * 2).named("a\x1b[31m"), GraphcError,
        ("'a\\x1b[31m'", "cannot be printed")),
    Bad("empty node name", lambda: scalar("  "), GraphcError, ("a name is a non-empty text, found '  '",)),
    Bad("name that is no text", lambda: scalar(3), GraphcError, ("a name is a non-empty text, found 3",)),
    Bad("no names", lambda: graphc.inputs(" , "), GraphcError, ("expected names separated by spaces",)),
    Bad("two nodes of one name", lambda: graphc.backward(same_name_twice()), GraphcError,
        ("two nodes are named 'x'", "declared at", "test_errors.py:", "rename one")),
    # ---- shapes and dtypes
    Bad("wrong rank", lambda: graphc.conv2d(image(28, 28), image(6, 1, 5, 5, name="w")), graphc.ShapeError,
        ("conv2d needs images (N, C, H, W) and filters (K, C, R, S)", "found (28, 28) and (6, 1, 5, 5)")),
    Bad("wrong rank of a pooled image", lambda: graphc.max_pool2d(image(28, 28)), graphc.ShapeError,
        ("max_pool2d needs images (N, C, H, W), found (28, 28)",)),
    Bad("a product of scalars", lambda: graphc.matmul(scalar("a"), scalar("b")), graphc.ShapeError,
        ("matmul needs at least one axis in each operand", "multiply by a scalar with *")),
    Bad("extents that do not broadcast", lambda: image(3, 4, name="a") + image(3, 5, name="b"), graphc.ShapeError,
        ("axis -1 has two extents: 4 in a and 5 in b", "y = a + b", "(3, 4)", "(3, 5)", "Try: make axis -1 agree")),
    Bad("named sizes that differ", lambda: image("N", 2, name="a") + image("M", 2, name="b"), graphc.ShapeError,
        ("axis -2 has two extents: N in a and M in b",)),
    Bad("channels that differ", lambda: graphc.conv2d(image(1, 3, 8, 8), image(4, 2, 3, 3, name="w")),
        graphc.ShapeError, ("the letter c has two extents: 3 in x and 2 in w", "Try: make c agree")),
    Bad("groups that do not divide", lambda: graphc.conv2d(image(1, 4, 8, 8), image(3, 2, 3, 3, name="w"), groups=2),
        graphc.ShapeError, ("groups=2 must divide the channels of the image, 4, and of the result, 3",)),
    Bad("a window larger than the image", lambda: graphc.conv2d(image(1, 1, 4, 4), image(1, 1, 5, 5, name="w")),
        graphc.ShapeError, ("the window is larger than the input", "(1, 1, 4, 4)", "(1, 1, 5, 5)")),
    Bad("a stride of 0", lambda: graphc.conv2d(image(1, 1, 4, 4), image(1, 1, 3, 3, name="w"), stride=0),
        graphc.ShapeError, ("stride=0 must be a whole number of at least 1",)),
    Bad("an unknown padding", lambda: graphc.conv2d(image(1, 1, 4, 4), image(1, 1, 3, 3, name="w"), padding="sam"),
        graphc.ShapeError, ("padding='sam' must be a number, a pair, 'valid', 'same' or 'full'",)),
    Bad("padding of a whole window", lambda: graphc.max_pool2d(image(1, 1, 4, 4), 2, padding=2), graphc.ShapeError,
        ("padding=2 must be smaller than the window (2, 2)",)),
    Bad("a reshape that loses elements", lambda: graphc.reshape(image(2, 3), (4, 2)), graphc.ShapeError,
        ("cannot reshape (2, 3) (6 elements) to (4, 2) (8 elements)",)),
    Bad("a reshape with two unknowns", lambda: graphc.reshape(image(2, 3), (-1, -1)), graphc.ShapeError,
        ("at most one extent may be -1",)),
    Bad("an axis that does not exist", lambda: graphc.sum(image(2, 3), axes=2), graphc.ShapeError,
        ("axis 2 does not exist: the operand has rank 2",)),
    Bad("an axis named twice", lambda: graphc.sum(image(2, 3), axes=(0, -2)), graphc.ShapeError,
        ("name an axis twice",)),
    Bad("dense on images", lambda: graphc.layers.dense(image("N", 1, 8, 8), 10, name="scores"), graphc.ShapeError,
        ("dense 'scores' needs rows of features", "found (N, 1, 8, 8)", "Try: graphc.flatten(...) first")),
    Bad("float labels", lambda: graphc.softmax_cross_entropy(image("N", 3), labels("float32")), graphc.ShapeError,
        ("needs integers for 'label'", "found 'label' of dtype float32", "dtype='int32'")),
    Bad("an unknown dtype", lambda: graphc.input("x", (), dtype="float16"), graphc.ShapeError,
        ("unknown dtype 'float16'; expected one of float32, float64, int32, int64",)),
    Bad("a negative extent", lambda: image(2, -3), graphc.ShapeError, ("an extent cannot be negative, found -3",)),
    Bad("a fractional extent", lambda: image(2.5), graphc.ShapeError, ("2.5 is not an extent", "such as 'N'")),
    Bad("a parameter of unknown size", lambda: graphc.parameter("w", ("N", 3)), graphc.ShapeError,
        ("the parameter 'w' has the shape (N, 3), but its extents must be numbers",)),
    Bad("an initial value of another shape", lambda: graphc.parameter("w", (2, 3), initial=ZEROS((3, 2))),
        graphc.ShapeError, ("the initial value of 'w' has shape (3, 2), expected (2, 3)",)),
    Bad("an operand that is no number", lambda: scalar() + "text", graphc.ShapeError,
        ("expected a node, a number or an array, found str: 'text'",)),
    Bad("a ragged constant", lambda: graphc.constant([[1], [2, 3]]), graphc.ShapeError, ("cannot make an array of",)),
    Bad("an unknown attribute", lambda: graphc.graph.registry.gate("conv2d")(image(1), image(1), strid=2),
        graphc.ShapeError, ("conv2d has no attribute 'strid'; did you mean 'stride'?",)),
    Bad("too few operands", lambda: graphc.graph.registry.gate("add")(scalar()), graphc.ShapeError,
        ("add takes 2 operand(s) (a, b), found 1",)),
    Bad("a node as a truth value", lambda: bool(scalar()), GraphcError,
        ("the node 'x' has no truth value", "graphc.max")),
    # ---- formulas
    Bad("a call outside the whitelist", lambda: graphc.gate("y = __import__('os').system('true')"),
        graphc.FormulaError, ("__import__", "Nothing was executed|nothing was executed")),
    Bad("an unknown function", lambda: graphc.gate("y = system(x)"), graphc.FormulaError,
        ("'system' is not a function of the formula language", "Nothing was executed")),
    Bad("a misspelt function", lambda: graphc.gate("y = sigmod(x)"), graphc.FormulaError,
        ("did you mean 'sigmoid'?",)),
    Bad("an attribute access", lambda: graphc.gate("y = x.shape"), graphc.FormulaError,
        ("'x.shape' is not part of the formula language",)),
    Bad("a power written with ^", lambda: graphc.gate("y = x^2"), graphc.FormulaError, ("powers are written **",)),
    Bad("an index that is not affine", lambda: graphc.gate("y[i] = x[i*i]"), graphc.FormulaError,
        ("the index 'i * i' is not affine", "stride*i + r - padding", "declared at")),
    Bad("an axis that is not reduced", lambda: graphc.gate("y[i] = x[i,j]"), graphc.FormulaError,
        ("the index 'j' is neither on the left nor reduced", "sum(..., j)")),
    Bad("a formula that reads nothing", lambda: graphc.gate("y = 1"), graphc.FormulaError,
        ("the formula 'y = 1' reads no tensor",)),
    Bad("an attribute that is not used", lambda: graphc.gate("y = x", stride=2), graphc.FormulaError,
        ("the attribute 'stride' does not occur in the formula",)),
    Bad("a formula that is no text", lambda: graphc.gate("x + y"), graphc.FormulaError,
        ("a formula line is 'y = ...', 'y[i, j] = ...' or 'y[i] += ...'",)),
    # ---- derivatives
    Bad("the gradient of an array", lambda: graphc.backward(image(3)), graphc.DerivativeError,
        ("'image' has shape (3,)", "upstream=", "graphc.sum")),
    Bad("the gradient of integers", lambda: graphc.backward(graphc.argmax(image(3))), graphc.DerivativeError,
        ("has dtype int32; only floats have gradients",)),
    Bad("the gradient by a misspelt name", lambda: graphc.backward(product()).grad("xx"), graphc.DerivativeError,
        ("no node is named 'xx' below 'f'; did you mean 'x'?", "names: x, y, f")),
    Bad("the gradient off the path", lambda: graphc.backward(product(), wrt="x").grad("y"), graphc.DerivativeError,
        ("'y' lies on no path from wrt=['x'] to 'f'", "wrt=['y']")),
    Bad("an upstream of another shape", lambda: graphc.backward(image(3), upstream=ZEROS(4)), graphc.DerivativeError,
        ("upstream has shape (4,), expected that of 'image', (3,)",)),
    Bad("a number instead of a node", lambda: graphc.backward(3.0), graphc.DerivativeError,
        ("backward needs a node, found float",)),
    # ---- data handed in
    Bad("a missing input", lambda: graphc.backward(product()).at(x=1.0), graphc.DataError,
        ("no value for 'y'", "back.at(y=...)", "declared at")),
    Bad("a missing parameter whose name is no identifier",
        lambda: graphc.backward(graphc.sum(graphc.input("hidden.weight", (2,)))).at(), graphc.DataError,
        ("no value for 'hidden.weight'", "back.at({'hidden.weight': ...})")),
    Bad("an unknown input", lambda: graphc.backward(product()).at(x=1.0, y=2.0, yy=3.0), graphc.DataError,
        ("no input or parameter is named 'yy'; did you mean 'y'?", "leaves of the graph: x, y")),
    Bad("an array of another rank", lambda: graphc.backward(product()).at(x=[1.0, 2.0], y=1.0), graphc.DataError,
        ("'x' needs rank 0, shape (), found shape (2,)",)),
    Bad("text as data", lambda: graphc.backward(product()).at(x="one", y=1.0), graphc.DataError,
        ("'x' has dtype <U3, expected numbers",)),
    Bad("two batches of different size",
        lambda: graphc.backward(classifier()).at(scores=ZEROS((2, 3)), label=[0, 1, 2]), graphc.DataError,
        ("the size N is 2 in 'scores' but 3 in 'label'",)),
    Bad("floats as labels", lambda: graphc.backward(classifier()).at(scores=ZEROS((2, 3)), label=[0.0, 1.0]),
        graphc.DataError, ("'label' is declared int32, found floats of dtype float64",)),
    Bad("a class that does not exist", lambda: graphc.backward(classifier()).at(scores=ZEROS((1, 3)), label=[3]),
        graphc.DataError, ("label holds 3", "dimension 1 of scores, whose extent is 3", "declared at")),
    # ---- compiled steps
    Bad("a missing input of a compiled step", lambda: graphc.compile([product()])(x=1.0), graphc.DataError,
        ("the input 'y' of shape () is missing", "declared at")),
    Bad("an unknown input of a compiled step", lambda: graphc.compile([product()])(x=1.0, y=1.0, z=1.0),
        graphc.DataError, ("no input is named 'z'", "inputs: x, y")),
    Bad("a wrong shape for a compiled step", lambda: graphc.compile([graphc.sum(image("N", 3))])(image=ZEROS((2, 4))),
        graphc.DataError, ("'image' needs shape (N, 3), found (2, 4)",)),
    Bad("a wrong dtype for a compiled step",
        lambda: graphc.compile([graphc.sum(image(2))])(image=ZEROS(2, "complex64")), graphc.DataError,
        ("'image' has dtype complex64, expected numbers",)),
    Bad("floats as labels of a compiled step",
        lambda: graphc.compile([classifier()])(scores=ZEROS((1, 3)), label=ZEROS(1)), graphc.DataError,
        ("'label' is declared int32, found floats", "Try: label.astype('int32')")),
    Bad("a class that does not exist in a compiled step",
        lambda: graphc.compile([classifier()])(scores=ZEROS((1, 3)), label=[-1]), graphc.DataError,
        ("'label' is used as an index by softmax_cross_entropy", "integers from 0 to 2, found -1")),
    Bad("labels that do not fit", lambda: graphc.compile([classifier()])(scores=ZEROS((1, 3)), label=[2**40]),
        graphc.DataError, ("'label' holds values that do not fit int32",)),
    Bad("nothing to compile", lambda: graphc.compile([]), graphc.PlanError, ("compile needs at least one node",)),
    Bad("an unknown target", lambda: graphc.compile([product()], target="gpu"), graphc.PlanError,
        ("unknown target 'gpu'", "'cpu'")),
    Bad("an unknown compile dtype", lambda: graphc.compile([product()], dtype="float16"), graphc.PlanError,
        ("unknown dtype 'float16'; expected 'float32' or 'float64'",)),
    Bad("no threads", lambda: graphc.compile([product()], threads=0), graphc.PlanError,
        ("threads=0 must be a whole number of at least 1",)),
    Bad("the gradient by an unknown parameter", lambda: graphc.compile([product()], gradients=["w"]),
        graphc.PlanError, ("nothing below 'f' is named 'w'",)),
    # ---- states, drawings, claims
    Bad("an update of what is no state", lambda: graphc.update(scalar(), 1.0), GraphcError,
        ("update needs a state, found input",)),
    Bad("an update of another shape", lambda: graphc.update(graphc.state("s", (3,)), image(4)), graphc.ShapeError,
        ("the update of 's' has shape (4,), expected (3,)",)),
    Bad("an unknown suffix", lambda: product().draw("f.xyz"), graphc.DrawingError, ("'.xyz'", ".svg", ".pdf")),
    Bad("a claim about an unknown node", lambda: graphc.check(product(), {"z": "1"}), graphc.CheckError,
        ("no node 'z'", "x, y")),
    Bad("a claim with a call outside the whitelist", lambda: graphc.check(product(), {"x": "open('f')"}),
        graphc.CheckError, ("'open' is not a function of the formula language", "Nothing was executed")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.what.replace(" ", "_") for case in CASES])
def test_bad_input_is_refused_with_a_message_that_teaches(case: Bad) -> None:
    with pytest.raises(case.error) as caught:
        case.do()
    message = str(caught.value)
    for part in case.parts:
        assert any(choice in message for choice in part.split("|")), f"{part!r} is not in:\n{message}"
    assert not isinstance(caught.value, graphc.InternalError)
    if isinstance(caught.value, GraphcError):
        # what a newcomer reads is about their graph, not about the inside of graphc
        assert "Traceback" not in message
        assert "/graphc/graph/" not in message


def test_there_are_at_least_40_cases_and_each_is_another_one() -> None:
    assert len(CASES) >= 40
    assert len({case.what for case in CASES}) == len(CASES)


def test_a_clash_of_extents_names_gate_formula_operands_letter_extents_sites_and_a_repair() -> None:
    here = sys._getframe().f_lineno
    x = graphc.input("x", ("N", 784))
    w = graphc.parameter("w", (10, 784))
    with pytest.raises(graphc.ShapeError) as caught:
        x @ w
    line_x, line_w, line_call = here + 1, here + 2, here + 4
    message, file = str(caught.value), __file__
    assert message.splitlines() == [
        "matmul: the letter k has two extents: 784 in a and 10 in b",
        "  formula  y[m,n] = sum(a[m,k] * b[k,n], k)",
        f"  a        'x' (N, 784)  declared at {file}:{line_x}",
        f"  b        'w' (10, 784)  declared at {file}:{line_w}",
        f"  called at {file}:{line_call}",
        f"  Try: transpose 'w' (its shape would be (784, 10)), declared at {file}:{line_w}",
    ]
    error = caught.value
    assert error.gate == "matmul"
    assert [str(shape) for shape in error.shapes] == ["(N, 784)", "(10, 784)"]
    assert error.site == Site(file, line_call)


def test_a_clash_inside_a_layer_is_reported_at_the_line_of_the_user() -> None:
    hidden = graphc.input("hidden", ("N", 5))
    weight = graphc.parameter("shared", (10, 4))
    with pytest.raises(graphc.ShapeError) as caught:
        graphc.layers.dense(hidden, 10, name="scores", weight=weight)
    assert str(caught.value.site) in str(caught.value)
    assert caught.value.site is not None
    assert caught.value.site.file == __file__


def test_a_name_with_quotes_and_markup_is_fine_and_survives_every_text() -> None:
    name = "a \"b\" 'c' <&>{}\\ σ"
    x = graphc.input(name)
    f = (x * x).named("f")
    back = graphc.backward(f)
    assert float(back.at({name: 3.0}).grad(name)) == 6.0
    assert name in str(back)
    svg = back.at({name: 3.0}).draw().svg()
    assert "<&>" not in svg
    (value,) = graphc.compile([f])(**{name: 3.0})
    assert float(value) == 9.0


def test_an_unwritable_path_is_a_clear_error_without_a_partial_file(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for target in (tmp_path / "missing" / "f.svg", blocked / "f.svg", tmp_path):
        with pytest.raises(graphc.DrawingError, match="cannot write"):
            product().draw(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
    assert blocked.read_text() == "not a folder"


def test_a_zero_batch_gives_empty_results_and_zero_gradients() -> None:
    x = graphc.input("x", ("N", 3))
    w = graphc.parameter("w", (3, 2), initial=numpy.ones((3, 2)))
    y = x @ w
    total = graphc.sum(y)
    empty = numpy.zeros((0, 3))
    run = graphc.backward(total).at(x=empty)
    assert run.value(y).shape == (0, 2)
    assert run.grad("w").tolist() == [[0.0, 0.0]] * 3
    (value, rows), gradients = graphc.compile([total, y], gradients=True)(x=empty)
    assert float(value) == 0.0
    assert rows.shape == (0, 2)
    assert gradients["w"].tolist() == [[0.0, 0.0]] * 3


def test_nan_is_reported_where_it_first_appears() -> None:
    x = graphc.input("x", (3,))
    shifted = (x - 2.0).named("shifted")
    root = graphc.log(shifted).named("root")
    step = graphc.compile([graphc.sum(root * 2.0)], check_numerics=True)
    (value,) = step(x=[3.0, 3.0, 3.0])
    assert float(value) == 0.0
    with pytest.raises(graphc.DataError, match=r"the result of log root has 2 NaN among 3 elements") as caught:
        step(x=[3.0, 1.0, 0.0])
    assert "declared at" in str(caught.value)
    with pytest.raises(graphc.DataError, match="the input 'x' has 1 NaN among 3 elements"):
        step(x=[3.0, numpy.nan, 4.0])
    with pytest.raises(graphc.DataError, match="the result of log root has 1 infinite values? among 3"):
        step(x=[3.0, 2.0, 4.0])


def test_errors_are_one_tree_that_a_program_can_catch() -> None:
    for name in graphc.errors.__all__:
        member = getattr(graphc.errors, name)
        if isinstance(member, type) and issubclass(member, Exception) and member is not graphc.InternalError:
            assert issubclass(member, GraphcError)
            assert name in (graphc.errors.__doc__ or "")
    assert not issubclass(graphc.InternalError, GraphcError)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [("sigmod", ["sigmoid", "tanh"], "; did you mean 'sigmoid'?"), ("qqq", ["sigmoid"], ""), ("x", [], "")],
)
def test_a_suggestion_is_made_only_when_it_is_close(name: str, known: list[str], expected: str) -> None:
    assert did_you_mean(name, known) == expected


def test_no_message_of_the_package_is_raised_without_words() -> None:
    """An error that says nothing teaches nothing."""
    root = Path(graphc.__file__).parent
    silent = [
        f"{path.name}:{number}"
        for path in root.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"raise (\w*Error)\(\s*\)", line)
    ]
    assert not silent
