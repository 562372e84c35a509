"""Declaring: nodes as the user wrote them, names, sites, states and the graph as networkx sees it."""

from __future__ import annotations

import sys

import numpy
import pytest

import graphc
from graphc.errors import GraphcError, Site
from graphc.graph import registry, verbs
from graphc.graph.node import as_node, topological


def test_two_equal_expressions_stay_two_nodes() -> None:
    x, y = graphc.inputs("x y")
    first, second = x * y, x * y
    assert first is not second
    root = first + second
    products = [node for node in topological([root]) if node.gate == "mul"]
    assert len(products) == 2
    assert graphc.backward(root).at(x=3, y=4).grad("x") == 8


def test_a_node_used_twice_is_one_node_with_two_edges() -> None:
    x = graphc.input("x")
    square = x * x
    assert square.operands == (x, x)
    assert len(topological([square])) == 2


def test_operands_come_before_gates_in_the_same_order_every_time() -> None:
    a, b, c = graphc.inputs("a b c")
    root = (a + b) * (b - c) + a
    order = topological([root])
    position = {node.id: k for k, node in enumerate(order)}
    assert len(position) == len(order)
    for node in order:
        assert all(position[operand.id] < position[node.id] for operand in node.operands)
    assert [node.id for node in topological([root])] == [node.id for node in order]


def test_a_chain_of_thousands_of_nodes_needs_no_recursion() -> None:
    x = graphc.input("x")
    node = x
    for _ in range(3 * sys.getrecursionlimit()):
        node = node + 1.0
    assert len(topological([node])) > sys.getrecursionlimit()
    assert graphc.backward(node).at(x=1.0).grad("x") == 1.0


def test_operators_are_gates_of_the_registry() -> None:
    x, y = graphc.inputs("x y")
    m = graphc.input("m", (2, 2))
    written = [
        x + y, x - y, x * y, x / y, x**y, -x, abs(x), m @ m, 1 / x, 2 / x, 2 - x, 3**x, 1.0 + x, 2 * x,
    ]  # fmt: skip
    gates = ["add", "sub", "mul", "div", "pow", "neg", "abs", "matmul", "reciprocal", "div", "sub", "pow", "add", "mul"]
    assert [node.gate for node in written] == gates


def test_operators_compute_what_python_computes() -> None:
    x, y = graphc.inputs("x y")
    cases = {
        "x + y": x + y, "x - y": x - y, "x * y": x * y, "x / y": x / y, "x ** y": x**y, "-x": -x,
        "abs(-x)": abs(-x), "1 / x": 1 / x, "2 / x": 2 / x, "2 - x": 2 - x, "3 ** x": 3**x, "y * 2 - 1": y * 2 - 1,
    }  # fmt: skip
    for text, node in cases.items():
        back = graphc.backward(node)
        given = {n.name: v for n, v in ((x, 1.7), (y, -0.6)) if n in back.nodes}
        expected = eval(text, {"__builtins__": {"abs": abs}}, {"x": 1.7, "y": -0.6})
        assert float(back.at(given).value(node)) == pytest.approx(expected, rel=1e-14)


def test_an_array_on_the_left_hands_the_operator_over() -> None:
    x = graphc.input("x", (3,))
    node = numpy.array([1.0, 2.0, 3.0]) - x
    assert node.gate == "sub"
    assert graphc.backward(graphc.sum(node)).at(x=[1, 1, 1]).value(node).tolist() == [0, 1, 2]


def test_a_site_is_the_line_of_the_user() -> None:
    here = sys._getframe().f_lineno
    x = graphc.input("x", (2,))
    y = graphc.layers.dense(graphc.reshape(x, (1, 2)), 3, name="scores")
    z = graphc.relu(y) + 1.0
    assert x.site == Site(__file__, here + 1)
    assert y.site == Site(__file__, here + 2)
    assert z.site == Site(__file__, here + 3)
    assert str(x.site) == f"{__file__}:{here + 1}"


def test_names_and_labels() -> None:
    x, y = graphc.inputs("x, y")
    node = x + y
    assert (x.name, x.label) == ("x", "x")
    assert node.name is None
    assert node.label == f"add_{node.id}"
    assert node.named("sum of both") is node
    assert node.label == "sum of both"
    assert graphc.constant(2.0).label == "2"
    assert "sum of both" in repr(node)
    assert graphc.inputs("alone").name == "alone"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["x", "conv1.weight", "σ", "a b", "\"<&'", "x" * 500, "$(rm -rf)", "../x"])
def test_a_name_is_any_line_that_can_be_printed(name: str) -> None:
    assert graphc.input(name).named(name).label == name


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\x00", "a\u2028b", "", " ", None, 7])
def test_a_name_that_breaks_the_line_is_refused(name: object) -> None:
    with pytest.raises(GraphcError, match="a name"):
        graphc.input("x").named(name)  # pyright: ignore[reportArgumentType]


def test_constants_keep_their_values() -> None:
    assert as_node(2).value == 2.0
    assert as_node(2).dtype == "float32"
    array = graphc.constant([[1, 2], [3, 4]], dtype="int32")
    assert array.dtype == "int32"
    assert array.shape == (2, 2)
    assert array.value.tolist() == [[1, 2], [3, 4]]
    node = graphc.input("x", (2,), dtype="float64") * [1.0, 2.0]
    assert node.operands[1].dtype == "float64"


def test_a_constant_is_not_changed_through_the_array_it_came_from() -> None:
    array = numpy.ones(3)
    node = graphc.constant(array)
    array[:] = 7.0
    assert graphc.backward(graphc.sum(node * graphc.input("x", (3,)))).at(x=[1, 1, 1]).value(node).tolist() == [1, 1, 1]


def test_the_dtype_of_a_result_is_the_widest_float() -> None:
    single, double = graphc.input("a", (2,)), graphc.input("b", (2,), dtype="float64")
    assert (single + single).dtype == "float32"
    assert (single + double).dtype == "float64"
    assert (single + 1.0).dtype == "float32"
    assert graphc.argmax(single).dtype == "int32"
    assert graphc.equal(single, 1.0).dtype == "float32"


def test_named_sizes_go_through_the_graph() -> None:
    x = graphc.input("x", ("N", 1, 28, 28))
    y = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(x, 6, 5, padding="same", name="conv1")), 2)
    assert str(y.shape) == "(N, 6, 14, 14)"
    assert str(graphc.flatten(y).shape) == "(N, 1176)"
    assert str(graphc.reshape(x, (-1, 784)).shape) == "(N, 784)"
    assert str((graphc.input("a", ("T", "N", 3)) @ graphc.input("w", (3, 4))).shape) == "(T, N, 4)"


def test_a_state_and_its_update() -> None:
    mean = graphc.state("mean", (3,), initial=0.5)
    x = graphc.input("x", (3,))
    moved = 0.9 * mean + 0.1 * x
    assert graphc.update(mean, moved) is mean
    assert mean.update is moved
    assert mean.kind == "state"
    assert not mean.trainable
    assert mean.initial.tolist() == [0.5] * 3
    with pytest.raises(GraphcError, match="the state 'mean' already has an update"):
        graphc.update(mean, moved)
    with pytest.raises(graphc.ShapeError, match="the update of 'other' has shape"):
        graphc.update(graphc.state("other", (4,)), moved)


def test_a_state_is_not_differentiated() -> None:
    scale, x = graphc.state("scale", (), initial=3.0), graphc.input("x")
    back = graphc.backward(scale * x)
    assert back.wrt == (x,)
    assert back.at(x=2.0).grad("x") == 3.0


def test_parameters_are_declared_with_arrays_numbers_and_initialisers() -> None:
    array = graphc.parameter("a", (2,), initial=[1.0, 2.0])
    number = graphc.parameter("b", (2,), initial=3.0)
    drawn = graphc.parameter("c", (2,), initial=graphc.he())
    assert array.initial.tolist() == [1.0, 2.0]
    assert number.initial.tolist() == [3.0, 3.0]
    assert callable(drawn.initial)
    run = graphc.backward(graphc.sum(array * number)).at()
    assert run.value(run.back.root) == 9.0


def test_networkx_sees_every_node_and_every_edge_with_its_position() -> None:
    x, y = graphc.inputs("x y")
    square = (x * x).named("square")
    root = (square - y).named("f")
    graph = graphc.to_networkx(root)
    assert graph.is_multigraph()
    assert {data["label"] for _, data in graph.nodes(data=True)} == {"x", "y", "square", "f"}
    edges = sorted((u, v, data["operand"]) for u, v, data in graph.edges(data=True))
    assert edges == sorted([(x.id, square.id, 0), (x.id, square.id, 1), (square.id, root.id, 0), (y.id, root.id, 1)])
    kinds = {data["label"]: (data["kind"], data["gate"]) for _, data in graph.nodes(data=True)}
    assert kinds["square"] == ("gate", "mul")
    assert kinds["x"] == ("input", "")
    assert len(graphc.to_networkx([square, root])) == 4


def test_a_gate_of_the_user_stays_out_of_the_registry() -> None:
    before = registry.names()
    squareplus = graphc.gate("y = (x + sqrt(x**2 + b)) / 2", name="squareplus", b=4.0)
    assert registry.names() == before
    x = graphc.input("x")
    assert graphc.backward(squareplus(x)).at(x=0.0).grad("x") == 0.5
    assert graphc.backward(squareplus(x, b=16.0)).at(x=0.0).value(squareplus(x, b=16.0).operands[0]) == 0.0
    assert squareplus(x).gate == "squareplus"


def test_a_gate_of_the_user_with_indices_strides_and_padding() -> None:
    blur = graphc.gate(
        "y[n,i] = sum(x[n,stride*i+r-padding] * w[r], r)", name="blur", stride=1, padding=0,
        outside={"x": 0}, extents={"i": "(size(x,1) + 2*padding - size(w,0))//stride + 1"},
    )  # fmt: skip
    x, w = graphc.input("x", ("N", 7)), graphc.input("w", (3,))
    assert str(blur(x, w).shape) == "(N, 5)"
    y = blur(x, w, stride=2, padding=1)
    assert str(y.shape) == "(N, 4)"
    data = numpy.arange(7.0)[None]
    run = graphc.backward(graphc.sum(y)).at(x=data, w=[1, 10, 100])
    padded = numpy.concatenate([[0], data[0], [0]])
    assert run.value(y)[0].tolist() == [padded[2 * i : 2 * i + 3] @ [1, 10, 100] for i in range(4)]


def test_a_gate_with_several_outputs_gives_a_node_for_each() -> None:
    both = graphc.gate("s[i] = exp(x[i])\nt[i] = x[i]*x[i]", name="both")
    x = graphc.input("x", (3,))
    s, t = both.apply((x,), {})
    assert (s.output, t.output) == (0, 1)
    assert s.application is t.application
    data = numpy.array([0.5, -1.0, 2.0])
    run = graphc.backward(graphc.sum(s * t)).at(x=data)
    assert run.grad("x") == pytest.approx(numpy.exp(data) * (data**2 + 2 * data), rel=1e-12)
    only = graphc.backward(graphc.sum(t)).at(x=data)
    assert only.grad("x") == pytest.approx(2 * data)


def test_verbs_that_nobody_lent_are_an_error_and_the_root_lends_them() -> None:
    assert verbs.known("draw")
    assert verbs.known("frames")
    with pytest.raises(GraphcError, match="the verb 'sing' is not available"):
        verbs.lookup("sing")


def test_the_public_names_are_sorted_listed_and_resolve() -> None:
    public = [name for name in dir(graphc) if not name.startswith("_")]
    assert set(graphc.__all__) | set(registry.names()) <= set(public)
    for name in graphc.__all__:
        assert getattr(graphc, name) is not None
    assert graphc.add is registry.function("add")


def test_a_second_declaration_of_a_gate_names_both_files() -> None:
    gate, function = registry.gate("add"), registry.function("add")
    with pytest.raises(graphc.InternalError, match="two files declare the gate 'add': .*add.py and elsewhere.py"):
        registry.register(gate, function, "elsewhere.py")
    assert registry.gate("add") is gate
