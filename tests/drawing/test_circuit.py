"""The lecture circuit: what it says, where it says it, and that nothing overlaps."""

from __future__ import annotations

import math
import re
import time
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc
from graphc.drawing import Drawing, draw
from graphc.drawing.circuit import FORMS, Circuit
from graphc.drawing.fonts import number_text
from graphc.drawing.gate_names import gate_symbol
from graphc.drawing.scene import Group, Path, texts
from graphc.graph.node import topological
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import CORPUS, LECTURE, folded_neuron, neuron, random_circuit, router, simple

SVG = "{http://www.w3.org/2000/svg}"


LARGE = ["scalar_lstm", *(f"random{seed}" for seed in range(5, 20))]
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in CORPUS]


def circuit_of(drawing: Drawing) -> Circuit:
    assert isinstance(drawing.content, Circuit)
    return drawing.content


def by_id(drawing: Drawing) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(drawing.svg())
    found = [e for e in root.iter() if "id" in e.attrib]
    assert len({e.attrib["id"] for e in found}) == len(found), "ids are used twice"
    return {e.attrib["id"]: e for e in found}


def read(text: str | None) -> float:
    return float((text or "").replace("−", "-"))


def number_of(drawing: Drawing, name: str, what: str) -> float:
    circuit = circuit_of(drawing)
    (k,) = [e.index for e in circuit.elements if e.name == name]
    return read(by_id(drawing)[f"wire-{k}-{what}"].text)


@pytest.mark.parametrize("name", EVERY)
def test_numbers_in_the_svg_are_those_of_the_run_to_the_printed_digits(name: str) -> None:
    run = CORPUS[name]()
    drawing = draw(run, digits=6)
    circuit, parts = circuit_of(drawing), by_id(drawing)
    for node, element in zip(circuit.nodes, circuit.elements, strict=True):
        k = element.index
        assert parts[f"wire-{k}-value"].text == number_text(float(run.value(node)), 6)
        assert read(parts[f"wire-{k}-value"].text) == pytest.approx(float(run.value(node)), rel=1e-5)
        assert parts[f"wire-{k}-gradient"].text == number_text(float(run.grad(node)), 6)
        assert read(parts[f"wire-{k}-gradient"].text) == pytest.approx(float(run.grad(node)), rel=1e-5)
        for port in element.ports:
            operand = circuit.nodes[port.operand]
            local = float(run.local(operand, node, operand=port.position))
            shown = parts[f"wire-{port.operand}-local-{k}-{port.position}"].text
            assert read(shown) == pytest.approx(local, rel=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_local_times_upstream_adds_up_to_the_gradient_of_each_wire(name: str) -> None:
    drawing = draw(CORPUS[name](), digits=12)
    circuit = circuit_of(drawing)
    flows = [0.0] * len(circuit.elements)
    for element in circuit.elements:
        if element.root:
            flows[element.index] += 1.0
        for port in element.ports:
            flows[port.operand] += read(port.number) * read(element.gradient)
    assert [read(e.gradient) for e in circuit.elements] == pytest.approx(flows, rel=1e-8, abs=1e-10)


def test_the_two_gate_circuit_prints_the_lecture_numbers() -> None:
    drawing = draw(simple())
    shown = {n: (number_of(drawing, n, "value"), number_of(drawing, n, "gradient")) for n in "xyzqf"}
    assert shown == {"x": (-2, -4), "y": (5, -4), "z": (-4, 3), "q": (3, -4), "f": (-12, 1)}
    locals_ = {
        (circuit_of(drawing).elements[p.operand].name, e.name): (p.formula, p.number)
        for e in circuit_of(drawing).elements for p in e.ports
    }  # fmt: skip
    assert locals_ == {
        ("x", "q"): ("1", "1"),
        ("y", "q"): ("1", "1"),
        ("q", "f"): ("z", "−4"),
        ("z", "f"): ("q", "3"),
    }


def test_the_neuron_has_eight_gates_with_constants_inside_and_nine_gradients_going_back() -> None:
    circuit = circuit_of(draw(neuron()))
    gates = [e.symbol for e in circuit.elements if e.symbol]
    assert sorted(gates) == sorted(["×", "×", "+", "+", "×−1", "exp", "+1", "1/x"])
    assert sum(1 for e in circuit.elements if not e.symbol) == 5
    shown = [e.gradient for e in circuit.elements]
    assert shown.count("−0.5344") == 2
    assert [e.gradient for e in circuit.elements if e.name == "x1"] == ["−0.5898"]
    assert all(e.gradient for e in circuit.elements)
    last = circuit.elements[-1]
    assert (last.value, last.gradient, last.name) == ("0.7311", "1", "f")


def test_the_folded_neuron_shows_the_sigmoid_local_gradient_through_its_output() -> None:
    circuit = circuit_of(draw(folded_neuron()))
    (gate,) = [e for e in circuit.elements if e.symbol == "σ"]
    assert gate.ports[0].formula in ("f·(1 − f)", "f − f²", "(1 − f)·f")
    assert gate.ports[0].number == "0.1966"


@pytest.mark.parametrize("name", EVERY)
def test_no_label_meets_another_or_a_foreign_wire(name: str) -> None:
    assert overlaps(draw(CORPUS[name]()).scene) == []


@pytest.mark.parametrize("name", LECTURE)
def test_no_label_overlaps_without_formula_outlines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.drawing.fonts._ziamath", lambda: None)
    assert overlaps(draw(LECTURE[name]()).scene) == []


def test_the_overlap_test_sees_an_overlap() -> None:
    from dataclasses import replace

    scene = draw(simple()).scene
    doubled = replace(scene, items=scene.items + scene.items)
    assert overlaps(doubled)


def test_inputs_of_one_gate_reach_it_along_straight_wires() -> None:
    drawing = draw(neuron())
    root = ElementTree.fromstring(drawing.svg())
    links = [e for e in root.iter(f"{SVG}g") if e.get("class") == "link"]
    straight = [e for e in links if "C" not in e[0].attrib["d"]]
    assert len(straight) >= len(links) - 4


def test_a_shared_input_is_drawn_once_with_fan_out() -> None:
    x = graphc.inputs("x")
    circuit = circuit_of(draw(graphc.backward((x * x + x).named("f")).at(x=3)))
    (element,) = [e for e in circuit.elements if e.name == "x"]
    assert element.readers == 3
    assert element.gradient == "7"


def test_structure_without_values_and_closed_forms_from_backward() -> None:
    x, y, z = graphc.inputs("x y z")
    f = ((x + y).named("q") * z).named("f")
    bare = circuit_of(draw(f))
    assert not any(e.value or e.gradient for e in bare.elements)
    formal = circuit_of(draw(graphc.backward(f)))
    assert {e.name: e.gradient for e in formal.elements}["q"] == "∂f/∂q = z"
    assert overlaps(draw(f).scene) == overlaps(draw(graphc.backward(f)).scene) == []


def test_unnamed_wires_in_a_formula_get_a_letter_that_nobody_uses() -> None:
    u, v = graphc.inputs("u v")
    f = graphc.exp(u * v) * 3
    circuit = circuit_of(draw(graphc.backward(f).at(u=1, v=2)))
    names = [e.name for e in circuit.elements if e.name]
    assert len(names) == len(set(names))
    assert {"u", "v"} < set(names)


@pytest.mark.parametrize(
    ("build", "symbol"),
    [
        (lambda x: x + 1, "+1"),
        (lambda x: 1 + x, "+1"),
        (lambda x: x - 1, "−1"),
        (lambda x: 1 - x, "1−x"),
        (lambda x: x * -2, "×−2"),
        (lambda x: x / 4, "÷4"),
        (lambda x: 1 / x, "1/x"),
        (lambda x: 3 / x, "3/x"),
        (lambda x: x**2, "x²"),
        (lambda x: x**5, "x^5"),
        (lambda x: -x, "×−1"),
        (lambda x: x + -3, "−3"),
        (graphc.exp, "exp"),
        (graphc.sigmoid, "σ"),
        (abs, "|x|"),
        (lambda x: graphc.max(x, 0), "max(x, 0)"),
    ],
)
def test_constants_are_written_inside_the_gate(build: Any, symbol: str) -> None:
    assert gate_symbol(build(graphc.inputs("x"))) == symbol


def test_numbers_have_a_true_minus_no_negative_zero_and_never_a_false_zero() -> None:
    shown = [number_text(v) for v in (-0.19661193, -0.0, 3e-7, -12.0, 1e9, float("nan"), -np.inf, 0.39322387)]
    assert shown == ["−0.1966", "0", "3e−7", "−12", "1e9", "nan", "−∞", "0.3932"]


def test_marks_of_a_check_frame_the_wire_and_the_gate_input() -> None:
    run = simple()
    drawing = draw(run, marks={"q": "differs", "f": "proved"})
    assert [e.mark for e in circuit_of(drawing).elements if e.name in "qf"] == ["differs", "proved"]
    assert "C0172C" in drawing.svg()
    assert "dashed frame: differs" in drawing.svg()
    assert overlaps(drawing.scene) == []
    x, q = run.back.find("x"), run.back.find("q")
    assert "C0172C" in draw(run, marks={(x, q): "differs"}).svg()


def test_array_wires_show_shape_and_gradient_norm() -> None:
    x = graphc.input("x", (3,))
    run = graphc.backward(graphc.sum(x * x)).at(x=[1.0, 2.0, 2.0])
    circuit = circuit_of(draw(run, style="circuit"))
    (element,) = [e for e in circuit.elements if e.name == "x"]
    assert (element.value, element.gradient) == ("(3,)", "‖∇‖ 6")


@pytest.mark.parametrize("name", LECTURE)
def test_the_description_says_every_number(name: str) -> None:
    run = LECTURE[name]()
    drawing = draw(run)
    root = ElementTree.fromstring(drawing.svg())
    (said,) = [e.text or "" for e in root.iter(f"{SVG}desc")]
    for element in circuit_of(drawing).elements:
        assert element.value in said
        assert element.gradient in said


def test_the_neuron_is_drawn_within_a_second_in_any_format(tmp_path: Any) -> None:
    for suffix in (".svg", ".pdf", ".png", ".dot", ".txt"):
        start = time.perf_counter()
        draw(neuron(), tmp_path / f"neuron{suffix}")
        print(f"{suffix}: {time.perf_counter() - start:.3f} s")
    draw(router(), tmp_path / "router.svg")
    assert re.search("max", (tmp_path / "router.svg").read_text("utf-8"))


def test_the_report_of_a_check_draws_its_verdicts_on_the_circuit() -> None:
    x, y = graphc.inputs("x y")
    report = graphc.check((x * y).named("f"), {"x": "y", "y": "y"})
    drawing = report.draw()
    assert {e.name: e.mark for e in circuit_of(drawing).elements}["y"] == "differs"
    assert {e.name: e.mark for e in circuit_of(drawing).elements}["x"] in ("proved", "agrees")


def test_marks_belong_to_the_circuit() -> None:
    with pytest.raises(
        graphc.DrawingError, match=r"'cards' has no option marks=; marks= is an option of style='circuit'"
    ):
        draw(simple(), style="cards", marks={"q": "differs"})


# ---------------------------------------------------------------- numbers that nobody else computed


def by_hand(nodes: Any, given: dict[str, float]) -> dict[Any, float]:
    """Evaluate a random circuit gate by gate with Python's own functions."""
    functions: dict[str, Any] = {
        "exp": math.exp, "tanh": math.tanh, "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "neg": lambda x: -x,
        "relu": lambda x: x if x > 0 else 0.0, "add": lambda x, y: x + y, "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y, "max": max, "min": min,
    }  # fmt: skip
    values: dict[Any, float] = {}
    for node in nodes:
        if node.gate:
            values[node] = functions[node.gate](*(values[operand] for operand in node.operands))
        else:
            values[node] = given[node.name] if node.kind == "input" else float(node.value)
    return values


@pytest.mark.parametrize("seed", range(12))
def test_drawn_numbers_are_those_of_an_independent_evaluation_and_of_central_differences(seed: int) -> None:
    run = random_circuit(seed, 4 + seed)
    drawing = draw(run, digits=9)
    parts, nodes = by_id(drawing), topological([run.back.root])
    given = {node.name: float(run.value(node)) for node in nodes if node.kind == "input"}
    values = by_hand(nodes, given)
    step = 1e-5
    for node, element in zip(circuit_of(drawing).nodes, circuit_of(drawing).elements, strict=True):
        assert read(parts[f"wire-{element.index}-value"].text) == pytest.approx(values[node], rel=1e-7, abs=1e-9)
        if node.kind == "input":
            ends = [by_hand(nodes, {**given, node.name: given[node.name] + s})[run.back.root] for s in (step, -step)]
            slope = (ends[0] - ends[1]) / (2 * step)
            shown = read(parts[f"wire-{element.index}-gradient"].text)
            assert shown == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", [*LECTURE, "random3", "random7"])
def test_every_worked_line_multiplies_out_and_every_sum_adds_up(name: str) -> None:
    drawing = draw(CORPUS[name](), work=True, digits=9)
    parts = by_id(drawing)
    lines = sums = 0
    for element in circuit_of(drawing).elements:
        for port in element.ports:
            at = f"{element.index}-{port.position}"
            factors = [f"wire-{port.operand}-local-{at}", f"wire-{port.operand}-work-{at}-upstream"]
            local, upstream = (read(parts[id].text) for id in factors)
            assert parts[f"wire-{element.index}-gradient"].text == parts[factors[1]].text
            assert read(parts[f"wire-{port.operand}-work-{at}-downstream"].text) == pytest.approx(
                local * upstream, rel=1e-7, abs=1e-12
            )
            lines += 1
        if len(element.shares) in (2, 3, 4):
            terms = [parts[f"wire-{element.index}-share-{g}-{p}"].text or "" for g, p in element.shares]
            total = sum(read(term.replace(" ", "")) for term in terms)
            assert total == pytest.approx(read(parts[f"wire-{element.index}-gradient"].text), rel=1e-6, abs=1e-9)
            assert all(term[:2] in ("+ ", "− ") for term in terms[1:])
            sums += 1
    assert lines == sum(len(e.ports) for e in circuit_of(drawing).elements)
    assert sums or all(e.readers < 2 or e.readers > 4 for e in circuit_of(drawing).elements)


def test_a_sum_of_many_terms_is_counted() -> None:
    x = graphc.inputs("x")
    run = graphc.backward((x + x + x + x + x).named("f")).at(x=1)
    assert "∑ of 5" in draw(run).svg()
    assert "gradient ∑ of 5 = 5" in draw(run).svg()


def test_gates_of_two_wires_are_named_by_their_pattern() -> None:
    x, y, z = graphc.inputs("x y z")
    f = graphc.min(graphc.max(x * y, z) + x, 2 * z) + 1
    found = {e.symbol: e.pattern for e in circuit_of(draw(graphc.backward(f), patterns=True)).elements if e.symbol}
    assert found == {"×": "switcher", "max": "router", "+": "distributor", "min": "router", "×2": "", "+1": ""}
    assert not any(e.pattern for e in circuit_of(draw(graphc.backward(f))).elements)


def test_wires_say_numbers_formulas_or_both() -> None:
    run = simple()
    forms = {form: {e.name: e for e in circuit_of(draw(run, form=form)).elements} for form in FORMS}
    assert (forms["numeric"]["q"].value_text, forms["numeric"]["q"].gradient) == ("3", "−4")
    assert (forms["symbolic"]["q"].value_text, forms["symbolic"]["q"].gradient) == ("x + y", "∂f/∂q = z")
    assert (forms["both"]["q"].value_text, forms["both"]["q"].gradient_name, forms["both"]["q"].gradient) == (
        "x + y = 3", "∂f/∂q", "−4",
    )  # fmt: skip
    assert draw(run, form="symbolic").svg() == draw(run.back).svg()
    assert "x + y = 3" in draw(run, form="both").text()


@pytest.mark.parametrize("name", EVERY)
def test_no_label_meets_another_or_a_wire_in_any_direction_with_every_part(name: str) -> None:
    run = CORPUS[name]()
    assert overlaps(draw(run, direction="TB").scene) == []
    for options in ({"work": True, "patterns": True}, {"form": "both", "work": True}) if name != "scalar_lstm" else ():
        for direction in ("LR", "TB"):
            assert overlaps(draw(run, direction=direction, **options).scene) == []


def test_a_circuit_from_top_to_bottom_has_the_value_left_of_each_wire() -> None:
    drawing = draw(simple(), direction="TB")
    places = {text.id: text for text in texts(drawing.scene.items)}
    (start,) = [e.index for e in circuit_of(drawing).elements if e.name == "x"]
    wire = next(i for i in drawing.scene.items if isinstance(i, Group) and i.id == f"wire-{start}")
    (rule,) = [i for i in wire.items if isinstance(i, Path) and len(i.commands) == 2 and not i.fill]
    x = rule.commands[0][1]
    value, gradient = places[f"wire-{start}-value"], places[f"wire-{start}-gradient"]
    assert value.x + value.length < x < gradient.x
    depth = {e.name: places[f"wire-{e.index}-value"].y for e in circuit_of(drawing).elements if e.name}
    assert depth["x"] < depth["q"] < depth["f"]


# ---------------------------------------------------------------- numbers that are none, values that are missing


def test_numbers_that_are_not_finite_are_drawn_as_such_and_marked() -> None:
    x, y = graphc.inputs("x y")
    run = graphc.backward((graphc.sqrt(x) * y + graphc.log(-y)).named("f")).at(x=0, y=1)
    drawing = draw(run, work=True)
    svg, parts = drawing.svg(), by_id(drawing)
    (k,) = [e.index for e in circuit_of(drawing).elements if e.name == "x"]
    assert parts[f"wire-{k}-gradient"].text == "∞"
    assert "nan" in {text.text for text in texts(drawing.scene.items)}
    framed = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}g") if e.get("class") == "not-finite"]
    wrong = [t for t in texts(drawing.scene.items) if t.id and t.text.lstrip("+− ") in ("nan", "∞")]
    assert len(framed) == len(wrong) > 3
    assert "dotted frame: not a finite number" in svg
    assert overlaps(drawing.scene) == []
    assert "not a finite number" not in draw(simple()).svg()


def test_a_vanishing_gradient_is_never_printed_as_nought() -> None:
    x, y = graphc.inputs("x y")
    drawing = draw(graphc.backward((x * y).named("f")).at(x=-0.0, y=3e-7))
    shown = {e.name: (e.value, e.gradient) for e in circuit_of(drawing).elements}
    assert shown == {"x": ("0", "3e−7"), "y": ("3e−7", "0"), "f": ("0", "1")}
    assert "-" not in "".join(text.text for text in texts(drawing.scene.items))


def test_a_run_without_all_values_names_the_missing_one() -> None:
    x, y = graphc.inputs("x y")
    with pytest.raises(graphc.DataError, match="no value for 'y'"):
        draw(graphc.backward(x * y).at(x=1))


# ---------------------------------------------------------------- what programs and screen readers find


@pytest.mark.parametrize("name", LECTURE)
def test_ids_classes_title_and_description_are_where_they_are_promised(name: str) -> None:
    drawing = draw(LECTURE[name](), work=True)
    root = ElementTree.fromstring(drawing.svg())
    labels = (root.get("aria-labelledby") or "").split()
    assert [root[k].tag.removeprefix(SVG) for k in (0, 1)] == ["title", "desc"]
    assert [root[k].get("id") for k in (0, 1)] == labels
    assert root.get("role") == "img"
    ids = [e.get("id", "") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z][-\w]*", id) for id in ids)
    for e in circuit_of(drawing).elements:
        k = e.index
        assert root.find(f".//{SVG}g[@id='wire-{k}'][@class='wire']/{SVG}title") is not None
        above = root.find(f".//{SVG}g[@id='wire-{k}']//{SVG}g[@class='above']/{SVG}text[@id='wire-{k}-value']")
        assert above is not None
        assert above.get("class") == "value"
        below = root.find(f".//{SVG}g[@id='wire-{k}']//{SVG}g[@class='below']//{SVG}text[@id='wire-{k}-gradient']")
        assert below is not None
        assert below.get("class") == "gradient"
        if e.symbol:
            gate = root.find(f".//{SVG}g[@id='gate-{k}']")
            assert gate is not None
            assert gate.get("class") == f"gate {e.kind}"
            assert gate.find(f"{SVG}title").text == f"gate {e.symbol}"  # type: ignore[union-attr]
        for p in e.ports:
            tag = root.find(f".//{SVG}g[@id='wire-{p.operand}-local-{k}-{p.position}-tag']")
            assert tag is not None
            assert tag.find(f".//{SVG}g[@class='local-gradient']/{SVG}title") is not None
        if e.label:
            assert root.find(f".//{SVG}g[@id='wire-{k}'][@data-node='{e.label}']") is not None


def test_three_statements_draw_the_lecture_circuit(tmp_path: Any) -> None:
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    run = graphc.backward(1 / (1 + graphc.exp(-(w0 * x0 + w1 * x1 + w2)))).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)
    run.draw(tmp_path / "neuron.svg")
    assert "0.7311" in (tmp_path / "neuron.svg").read_text("utf-8")


def test_symbolic_gradients_are_short_formulas_that_agree_with_the_numbers() -> None:
    from graphc.drawing.closed_forms import LONGEST, closed_forms
    from graphc.formula.expression import evaluate, operation_count
    from graphc.formula.numeric import NUMPY
    from graphc.gradients.local import elementwise, local_expression
    from graphc.graph.node import topological

    said = 0
    for run in (simple(), neuron(), CORPUS["folded_neuron"](), CORPUS["router"](), CORPUS["square_by_itself"]()):
        back, nodes = run.back, topological([run.back.root])
        local = {
            (node.id, k): local_expression(node, k)
            for node, k in back.edges
            if node.formula is not None and elementwise(node.formula)
        }
        values = {node.label: run.value(node) for node in nodes}
        for node_id, expression in closed_forms(back.root, nodes, local, back.edges).items():
            (node,) = (n for n in nodes if n.id == node_id)
            assert operation_count(expression) <= LONGEST
            assert float(evaluate(expression, values, NUMPY)) == pytest.approx(float(run.grad(node)), rel=1e-12)
            said += 1
    assert said > 25
    gradients = {e.name: e.gradient for e in circuit_of(draw(neuron().back)).elements}
    assert gradients["w2"] == "∂f/∂w2 = s·f²"
    folded = {e.name: e.gradient for e in circuit_of(draw(CORPUS["folded_neuron"]().back)).elements}
    assert folded["w0"] == "∂f/∂w0 = x0·f·(1 − f)"


def test_what_follows_a_letter_and_an_underscore_stands_low() -> None:
    from graphc.drawing.wording import symbol_latex

    assert [symbol_latex(name) for name in ("W_xh", "d_p", "w_12", "w0", "learning_rate", "x_")] == [
        r"W_{\mathrm{xh}}", "d_{p}", "w_{12}", "w_{0}", r"\mathrm{learning\_rate}", r"\mathrm{x\_}",
    ]  # fmt: skip
    W, x = graphc.inputs("W_xh x_t")
    elements = circuit_of(draw(graphc.backward((W * x).named("f")).at(W_xh=2, x_t=3))).elements
    assert [e.name_latex for e in elements[:2]] == [r"W_{\mathrm{xh}}", "x_{t}"]
    assert elements[0].name == "W_xh"  # in words and tables it stays what the user wrote
