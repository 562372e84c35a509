"""The lecture circuit: what it says, where it says it, and that nothing overlaps."""

from __future__ import annotations

import re
import time
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc
from graphc.drawing import Drawing, draw
from graphc.drawing.circuit import Circuit, gate_symbol
from graphc.drawing.fonts import number_text
from graphc.drawing.layout import ENGINES, engine_available
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import CORPUS, LECTURE, folded_neuron, neuron, router, simple

AVAILABLE = [name for name in ENGINES if engine_available(name)]
SVG = "{http://www.w3.org/2000/svg}"


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


@pytest.mark.parametrize("name", CORPUS)
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


@pytest.mark.parametrize("name", CORPUS)
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


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("name", CORPUS)
def test_no_label_meets_another_or_a_foreign_wire(name: str, engine: str) -> None:
    assert overlaps(draw(CORPUS[name](), engine=engine).scene) == []


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
    assert {e.name: e.gradient for e in formal.elements}["q"] == "∂f/∂q"
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
