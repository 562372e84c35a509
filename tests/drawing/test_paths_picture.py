"""Linear and nonlinear paths: read off local gradients, for cells that drawing has never seen; and their picture."""

from __future__ import annotations

from pathlib import Path as FilePath
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing.paths import PathsDrawing, read_cell
from graphc.drawing.scene import Group, Path
from graphc.drawing.strands import Strands
from graphc.errors import DrawingError
from graphc.gradients.through_time import repeat_of
from graphc.graph.node import topological
from tests.drawing.geometry import label_boxes, overlaps

STEPS, UNITS = 5, 3


def layer(kind, steps=STEPS, seed=0, bias=None, **options):
    rng = numpy.random.default_rng(seed)
    xs = graphc.input("x", (steps, "N", 2))
    hs = getattr(graphc.layers, kind)(xs, UNITS, name="m", returns="last", **options)
    back = graphc.backward(graphc.sum(hs * hs + hs))
    weights = {n.name: rng.normal(size=n.shape) * 0.6 for n in back.nodes if n.kind == "parameter"}
    if bias is not None:
        weights["m.bias"] = numpy.repeat(numpy.asarray(bias, dtype=float), UNITS)
    return back.at(x=rng.normal(size=(steps, 2, 2)), parameters=weights)


def keeper(steps=STEPS, squash=False):
    """A cell of the user's own; with ``squash`` its state goes through tanh at every step."""
    rng = numpy.random.default_rng(3)
    x, h0 = graphc.input("x", (steps, "N", 2)), graphc.input("h", ("N", 3))
    w, u = graphc.parameter("w", (3, 2)), graphc.parameter("u", (3, 3))
    blend = graphc.gate("y = k*a + (1 - k)*b", name="blend")

    def cell(x, h):
        keep = graphc.sigmoid(graphc.matmul(x, graphc.transpose(w))).named("keep")
        new = graphc.tanh(graphc.matmul(h, graphc.transpose(u))).named("new")
        h = blend(keep, graphc.tanh(h) if squash else h, new).named("h")
        return h, h

    _, last = graphc.unroll(cell, x, h0, name="keeper")
    values = {w: rng.normal(size=w.shape), u: rng.normal(size=u.shape) * 0.5}
    values |= {x: rng.normal(size=(steps, 2, 2)), h0: rng.normal(size=(2, 3))}
    return graphc.backward(graphc.sum(last * last)).at(values)


def strands(run) -> Strands:
    return read_cell(repeat_of(run.back.nodes, None))[0]


def belt(run, state):
    """What the linear path of a state leads through, as it is called."""
    found = strands(run)
    return [found.operations[n].said for n in found.belt(state)]


# ---- which paths are linear ----------------------------------------------------------------------


def test_the_memory_of_an_lstm_is_a_line_from_step_to_step():
    run = layer("lstm")
    assert belt(run, 0) == []  # h goes through tanh
    assert belt(run, 1) == ["c_t−1", "×", "state", "c_t"]
    found = strands(run)
    direct = {(found.operations[s.source].said, s.local) for s in found.strands if s.direct}
    assert direct == {("c_t−1", "f"), ("×", "1"), ("state", "1")}


def test_an_lstm_with_peepholes_has_the_line_and_nonlinear_paths_beside_it():
    x, h, c = graphc.input("x", ("N", 2)), graphc.input("h", ("N", 3)), graphc.input("c", ("N", 3))
    sizes = ((12, 2), (12, 3), (12,), (9,))
    weights = [graphc.parameter(f"p{k}", s) for k, s in enumerate(sizes)]
    _, new = graphc.lstm_cell(x, h, c, *weights)
    found = graphc.draw(new, style="paths").strands
    (source,) = [o for o in found.of_kind("source") if o.symbol == "c"]
    own = [s for s in found.strands if s.source == source.number]
    assert [s.direct for s in own].count(True) == 1
    assert [s.direct for s in own].count(False) == 2  # into i and f
    assert all(s.linear for s in own)  # each is a product, but then come the sigmoids


def test_the_state_of_a_gru_and_of_a_cell_of_ones_own_is_a_line_and_that_of_a_plain_recurrence_is_none():
    assert belt(layer("gru"), 0) == ["h_t−1", "×", "+", "h_t"]
    assert belt(keeper(), 0) == ["h_t−1", "×", "h", "h_t"]
    assert belt(keeper(squash=True), 0) == []
    assert belt(layer("rnn"), 0) == []
    assert belt(layer("rnn", activation="relu"), 0) == []


@pytest.mark.parametrize(
    ("formula", "linear"),
    [
        ("y = 3*a - b", {"a": True, "b": True}),
        ("y = a*b", {"a": True, "b": True}),
        ("y = a*a*b", {"a": False, "b": True}),
        ("y = a/b", {"a": True, "b": False}),
        ("y = a**2 + exp(b)", {"a": False, "b": False}),
        ("y = max(a, b)", {"a": False, "b": False}),
        ("y = abs(a) + b", {"a": False, "b": True}),
        ("y = b if a > 0 else 2*b", {"a": False, "b": True}),
    ],
)
def test_a_path_is_linear_where_the_local_gradient_does_not_contain_the_operand(formula, linear):
    a, b = graphc.inputs("a b")
    found = graphc.draw(graphc.gate(formula, name="own")(a, b), style="paths").strands
    for source in found.of_kind("source"):
        own = [s.direct for s in found.strands if s.source == source.number]
        assert all(own) == linear[source.symbol], formula


def test_a_product_with_itself_is_not_linear_and_mixing_elements_is():
    x = graphc.input("x", (3, 4))
    w = graphc.parameter("w", (4, 5))
    squares = graphc.gate("y[n] = sum(x[n,k]*x[n,k], k)", name="squares")(x)
    largest = graphc.gate("y[n] = max(x[n,k], k)", name="largest")(x)
    products = graphc.gate("y[n,m] = sum(x[n,k]*x[m,k], k)", name="products")(x)
    bent = [x * x, graphc.softmax(x), squares, largest, products]
    for node, expected in [(node, False) for node in bent] + [(x @ w, True), (graphc.sum(x), True), (x.T, True)]:
        found = graphc.draw(graphc.sum(node), style="paths").strands
        assert all(s.direct for s in found.strands) == expected


# ---- how much gradient they carry ----------------------------------------------------------------


def flows(picture: PathsDrawing, target: str):
    """Norms along the lines from an operation back to those that it reads, by their names and numbers."""
    operations = picture.strands.operations
    return {
        (operations[s.source].said, s.source): picture.flows[s]
        for s in picture.strands.strands
        if operations[s.target].said == target
    }


def test_what_flows_along_lines_is_the_gradient_of_the_written_out_graph():
    run = layer("lstm", steps=3)
    picture = run.draw(style="paths", step=2)
    copies = graphc.expanded(graphc.unrolled(run.back.root))
    back = graphc.backward(copies)
    leaves = {n.name: n for n in back.nodes if n.application is None and n.name is not None}
    whole = back.at({leaves[n.name]: v for n, v in run.leaves.items() if n.name in leaves})
    # the second step: the second of three copies of every gate, in the order of steps
    tanhs = [n for n in back.nodes if n.gate == "tanh" and n.operands[0].gate == "add"]
    states = [n.operands[0] for n in tanhs]
    assert len(states) == 3
    forget, before, *_ = states[1].operands
    upstream = whole.grad(states[1])
    found = flows(picture, "state")
    assert max(found.values()) == pytest.approx(numpy.linalg.norm(upstream), rel=1e-9)
    carried = next(picture.flows[s] for s in picture.strands.strands if s.direct and s.local == "f")
    assert carried == pytest.approx(numpy.linalg.norm(upstream * whole.value(forget)), rel=1e-9)
    assert sum(flows(picture, "shown").values()) == pytest.approx(
        numpy.linalg.norm(whole.grad(tanhs[1]) * (1 - whole.value(tanhs[1]) ** 2)), rel=1e-9
    )
    assert before is not None


def test_an_open_memory_passes_the_whole_gradient_along_the_line():
    picture = layer("lstm", bias=[-60, 60, 0, 60]).draw(style="paths", step=3)  # i = 0, f = 1
    straight, other = picture.shares()["c_t−1"]
    assert other == 0.0
    assert straight == pytest.approx(picture.ends["c_t−1"], rel=1e-12)
    assert straight == pytest.approx(max(flows(picture, "state").values()), rel=1e-12)
    assert straight > 0.1
    for gate in ("i", "f", "g"):
        assert all(norm < 1e-20 for norm in flows(picture, gate).values())


def test_a_closed_memory_passes_nothing_along_the_line():
    picture = layer("lstm", bias=[60, -60, 0, 60]).draw(style="paths", step=3)  # i = 1, f = 0
    assert picture.shares()["c_t−1"][0] < 1e-20
    # then it is a plain recurrence: everything goes through g
    assert next(iter(flows(picture, "g").values())) > 1e-3
    assert picture.shares()["h_t−1"][1] > 1e-3


def test_the_mean_over_steps_is_the_mean_of_the_steps():
    run = layer("gru", steps=3)
    parts = [list(run.draw(style="paths", step=t).flows.values()) for t in (1, 2, 3)]
    numpy.testing.assert_allclose(list(run.draw(style="paths").flows.values()), numpy.mean(parts, axis=0))


# ---- the picture ---------------------------------------------------------------------------------


def masked():
    rng = numpy.random.default_rng(0)
    xs, lengths = graphc.input("x", (4, "N", 2)), graphc.input("lengths", ("N",), dtype="int32")
    hs = graphc.layers.lstm(xs, 3, name="m", lengths=lengths)
    back = graphc.backward(graphc.sum(hs * hs))
    weights = {n.name: rng.normal(size=n.shape) for n in back.nodes if n.kind == "parameter"}
    return back.at(x=rng.normal(size=(4, 2, 2)), lengths=[4, 2], parameters=weights)


CASES = {
    "lstm": lambda: layer("lstm"),
    "peephole": lambda: layer("lstm", peephole=True),
    "coupled": lambda: layer("lstm", coupled=True),
    "gru": lambda: layer("gru"),
    "rnn": lambda: layer("rnn"),
    "skip": lambda: layer("gru", skip_time=3),
    "masked": masked,
    "keeper": keeper,
    "squashed": lambda: keeper(squash=True),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_or_leaves_the_page(case):
    run = CASES[case]()
    for subject, digits in ((run, 4), (run, 15), (run.back.root, 4)):
        picture = graphc.draw(subject, style="paths", digits=digits)
        assert overlaps(picture.scene) == []
        assert len(label_boxes(picture.scene)) > 10
        ids = [e.get("id") for e in ElementTree.fromstring(picture.svg()).iter() if e.get("id")]
        assert len(ids) == len(set(ids))


def lines(picture, kind):
    return [g for g in walk_groups(picture.scene.items) if kind in g.classes.split()]


def walk_groups(items):
    for item in items:
        if isinstance(item, Group):
            yield item
            yield from walk_groups(item.items)


def test_paths_differ_in_colour_and_in_the_style_of_the_line():
    picture = layer("lstm").draw(style="paths")
    colours = {}
    for kind in ("linear", "nonlinear"):
        strokes = [p for g in lines(picture, kind) for p in g.items if isinstance(p, Path) and p.stroke]
        assert strokes
        assert len({bool(p.dash) for p in strokes}) == 1
        (colour,) = {p.stroke for p in strokes}
        colours[kind] = (colour, bool(strokes[0].dash))
    assert colours["linear"][0] != colours["nonlinear"][0]
    assert colours["linear"][1] != colours["nonlinear"][1]


def test_the_line_of_the_memory_is_straight_and_on_top():
    picture = layer("lstm").draw(style="paths", show="forward")
    points = [
        c for g in lines(picture, "linear") for p in g.items if isinstance(p, Path) and p.stroke for c in p.commands
    ]
    heights = {round(c[2], 3) for c in points}
    assert len(heights) == 1
    assert {c[0] for c in points} == {"M", "L"}
    others = [p for g in lines(picture, "nonlinear") for p in g.items if isinstance(p, Path) and p.stroke]
    assert min(c[2] for p in others for c in p.commands) >= heights.pop()


def test_widths_are_the_gradient_that_flows_back():
    picture = layer("lstm", bias=[-60, 60, 0, 60]).draw(style="paths", show="backward")
    widths = {kind: [p.width for g in lines(picture, kind) for p in g.items if isinstance(p, Path) and p.stroke]
              for kind in ("linear", "nonlinear")}  # fmt: skip
    assert max(widths["linear"]) > 2
    assert min(widths["nonlinear"]) == 0.5


def test_the_same_bytes_in_every_format(tmp_path: FilePath):
    run = layer("gru")
    for suffix in ("svg", "pdf", "tikz", "txt", "html"):
        written = [run.draw(tmp_path / f"{n}.{suffix}", style="paths").save(tmp_path / f"{n}.{suffix}") for n in "ab"]
        assert written[0].read_bytes() == written[1].read_bytes()
    assert "c_t−1" not in run.draw(style="paths").text()
    assert "linear path" in run.draw(style="paths").text()
    assert "A linear path leads from h_t−1 through ×, + to h_t." in run.draw(style="paths").scene.description


def test_bad_requests_are_refused():
    run = layer("rnn")
    with pytest.raises(DrawingError, match=r"show='forwards' is not known.*did you mean 'forward'"):
        run.draw(style="paths", show="forwards")
    with pytest.raises(DrawingError, match="step=9 is not one of the steps 1 to 5"):
        run.draw(style="paths", step=9)
    with pytest.raises(DrawingError, match="runs from left to right"):
        run.draw(style="paths", direction="TB")
    with pytest.raises(DrawingError, match="did you mean 'm'"):
        run.draw(style="paths", name="mm")
    with pytest.raises(DrawingError, match="no paths to draw"):
        graphc.draw(graphc.input("x"), style="paths")
    assert len(topological([run.back.root])) > 3
