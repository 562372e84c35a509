"""The HTML page: one file, inert names, and in a browser the numbers of graphc at edited inputs."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.circuit import read_circuit
from graphc.drawing.fonts import number_text
from graphc.drawing.javascript import JAVASCRIPT, to_javascript
from graphc.drawing.page import page_text
from graphc.drawing.scene import texts, visible
from graphc.errors import DrawingError
from graphc.formula.expression import FUNCTIONS, Call, Number, Symbol
from graphc.formula.numeric import NUMPY
from graphc.formula.parser import parse_expression
from tests.drawing.graphs import CORPUS, convolutional_network, neuron, router, scalar_lstm, simple
from tests.drawing.test_files import HOSTILE, hostile_run


@lru_cache(maxsize=1)
def browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browsed(page: str, driver: str, folder: Path) -> Any:
    """Open a page with a script at its end and return what the script stores by ``report(value)``."""
    program = browser()
    if program is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    # the page's own policy refuses the test's script: that is tested for itself
    page = re.sub(r"<meta http-equiv=[^>]*>", "", page)
    report = (
        "const report = (found) => { const e = document.createElement('pre'); e.id = 'report';"
        "e.textContent = JSON.stringify(found); document.body.append(e); };"
        # a window that is not in front moves the focus, but tells nobody
        "const moveFocus = (element) => { let told = false; element.addEventListener('focus', () => { told = true; });"
        "element.focus(); if (!told) element.dispatchEvent(new FocusEvent('focus')); };"
    )
    file = folder / "driven.html"
    file.write_text(page.replace("</body>", f"<script>{{{report}{driver}}}</script></body>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    done = subprocess.run([program, *flags, file.as_uri()], capture_output=True, timeout=120, check=False)
    found = re.search(r'<pre id="report">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert found, done.stderr.decode()[-2000:]
    return json.loads(html.unescape(found[1]))


EDIT = """
const enter = (wire, text) => {
  const field = document.querySelector(`#inputs input[data-wire="${wire}"]`);
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const shown = (what) => [...document.querySelectorAll(`.view:not([hidden]) ${what}`)];
const numbers = () => ({
  exact: shown("tbody tr").map((row) => [".value", ".gradient"].map((c) => row.querySelector(c).dataset.exact ?? null)),
  texts: Object.fromEntries(shown("text[id]").map((t) => [t.id, t.textContent])),
  table: shown("tbody tr").map((row) => [...row.children].map((c) => c.textContent)),
});
"""


def softplus_run() -> Any:
    x, w = graphc.inputs("x w")
    return graphc.backward(graphc.softplus(w * x).named("f")).at(x=0.5, w=-1.5)


def extremes() -> Any:
    x, y, z = graphc.inputs("x y z")
    return graphc.backward((graphc.max(x, y) * graphc.min(y, z) + graphc.max(x, z)).named("f")).at(x=1, y=2, z=-3)


def shared() -> Any:
    """Fan-out, a power, a logarithm, a quotient and an absolute value."""
    a, b = graphc.inputs("a b")
    f = graphc.log(a * a + 1) / (b**3 + 2) + abs(a - b) * graphc.tanh(a) - graphc.sqrt(b * b + a * a)
    return graphc.backward(f.named("f")).at(a=1.25, b=-0.75)


def seeded() -> Any:
    """An upstream gradient that is not 1, and an input that no gradient is asked for."""
    x, y, w = graphc.inputs("x y w", dtype="float64")
    f = (graphc.exp(x * w) - graphc.log(1 + graphc.exp(y))).named("f")
    return graphc.backward(f, ["x", "y"], upstream=-2.5).at(x=0.1, y=-0.2, w=3.5)


def second_order() -> Any:
    x, w = graphc.inputs("x w")
    slope = graphc.backward((graphc.sigmoid(w * x) * x).named("f")).grad("x")
    return graphc.backward(slope.named("slope")).at(x=0.5, w=-1.5)


def parameter_and_whole_number() -> Any:
    x, k = graphc.input("x"), graphc.input("k", dtype="int32")
    b = graphc.parameter("b", (), initial=0.25)
    return graphc.backward((graphc.tanh(x * b) * k + b).named("f")).at(x=0.5, k=3)


EDITED: dict[str, Callable[[], Any]] = {
    "neuron": neuron,
    "folded_neuron": CORPUS["folded_neuron"],
    "router": router,
    "extremes": extremes,
    "softplus": softplus_run,
    "shared": shared,
    "scalar_lstm": CORPUS["scalar_lstm"],
    "square_by_itself": CORPUS["square_by_itself"],
    "seeded": seeded,
    "second_order": second_order,
    "parameter_and_whole_number": parameter_and_whole_number,
    "lone_input": CORPUS["lone_input"],
    "random7": CORPUS["random7"],
}


def close(found: str, expected: float) -> bool:
    number = float(found.replace("Infinity", "inf"))
    if not math.isfinite(expected):
        return number == expected or (math.isnan(number) and math.isnan(expected))
    return abs(number - expected) <= 1e-12 * max(1.0, abs(expected))


_ALWAYS = {"neuron", "extremes", "shared", "seeded"}  # each page takes a browser two seconds


@pytest.mark.parametrize(
    "name", [name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in EDITED]
)
def test_an_edited_input_changes_every_number_as_graphc_would(name: str, tmp_path: Path) -> None:
    run = EDITED[name]()
    circuit = read_circuit(run.back.root, run.back, run)
    inputs = [(k, node) for k, node in enumerate(circuit.nodes) if node.kind in ("input", "parameter")]
    chance = random.Random(11)
    points: list[dict[Any, float]] = [
        {node: chance.uniform(-2, 2) for _, node in inputs},
        {node: 40 * chance.uniform(-2, 2) for _, node in inputs},
        {node: 1.5 for _, node in inputs},  # ties
    ]
    for point in points:
        point.update({node: round(x) for node, x in point.items() if not node.is_float})
    driver = EDIT + "const found = [];"
    for point in points:
        driver += "".join(f"enter({k}, {str(point[node])!r});" for k, node in inputs) + "found.push(numbers());"
    driver += "document.getElementById('reset').click(); found.push(numbers()); report(found);"
    found = browsed(page_text(run, draw(run, style="circuit")), driver, tmp_path)
    at_points = [*(run.back.at(point) for point in points), run]
    for state, there in zip(found, at_points, strict=True):
        for k, node in enumerate(circuit.nodes):
            value, gradient = state["exact"][k]
            assert close(value, float(there.value(node))), (k, node.label)
            assert (gradient is None) == (not run.back.has_grad(node))
            assert gradient is None or close(gradient, float(there.grad(node))), (k, node.label)
    # back at the start, texts are those that Python printed
    texts = found[-1]["texts"]
    for e in circuit.elements:
        assert texts[f"c-wire-{e.index}-value"] == e.value
        assert texts.get(f"c-wire-{e.index}-gradient", "") == e.gradient
        for p in e.ports:
            assert texts.get(f"c-wire-{p.operand}-local-{e.index}-{p.position}", "") == p.number
        assert found[-1]["table"][e.index][2:] == [e.value, e.gradient]


def test_local_gradients_follow_an_edit_and_are_printed_as_python_prints(tmp_path: Path) -> None:
    run = neuron()
    found = browsed(page_text(run), EDIT + "enter(0, '0.3'); enter(7, '-1.25'); report(numbers());", tmp_path)
    back = run.back
    there = back.at(w0=0.3, x0=-1, w1=-3, x1=-2, w2=-1.25)
    said = read_circuit(back.root, back, there)
    assert [e.label for e in said.elements if not e.symbol][-1] == said.elements[7].label == "w2"
    for e in said.elements:
        assert found["texts"][f"c-wire-{e.index}-value"] == e.value
        for p in e.ports:
            assert found["texts"][f"c-wire-{p.operand}-local-{e.index}-{p.position}"] == p.number


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_sums_and_worked_lines_follow_an_edit(direction: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"work": True, "form": "both", "direction": direction}
    run = shared()
    found = browsed(draw(run, **options).html(), EDIT + "enter(0, '-0.5'); report(numbers());", tmp_path)
    scene = draw(run.back.at(a=-0.5, b=-0.75), **options).scene
    expected = {f"c-{text.id}": text.text for text in texts(scene.items) if text.id}
    assert sum("-share-" in id for id in expected) >= 4
    assert sum("-downstream" in id for id in expected) >= 12
    assert found["texts"] == expected


def test_what_is_hidden_stays_hidden_after_an_edit(tmp_path: Path) -> None:
    page = draw(simple(), hide=["gradients", ("values", "q")]).html()
    found = browsed(page, EDIT + "enter(0, '7'); report(numbers());", tmp_path)
    shown = {row[0]: row[2:] for row in found["table"]}
    assert shown == {"x": ["7", ""], "y": ["5", ""], "q": ["", ""], "z": ["−4", ""], "f": ["−48", ""]}
    assert not any("gradient" in id for id in found["texts"])


def test_a_number_that_is_none_is_underlined_and_after_an_edit_no_more(tmp_path: Path) -> None:
    x = graphc.inputs("x")
    page = draw(graphc.backward(graphc.log(x).named("f")).at(x=-1)).html()
    marked = "[...document.querySelectorAll('figure text[text-decoration]')].map((t) => t.textContent)"
    found = browsed(page, f"{EDIT} const before = {marked}; enter(0, '2'); report([before, {marked}]);", tmp_path)
    assert found == [["nan"], []]


def test_formulas_and_folded_gates_are_pages_without_fields() -> None:
    assert "shows formulas, so numbers cannot be edited" in draw(simple(), form="symbolic").html()
    page = draw(scalar_lstm(3), fold=["c2"]).html()
    assert "Gates are folded in this picture, so its numbers cannot be edited" in page
    assert '<form id="inputs">' not in page
    assert '<form id="inputs" hidden>' in page  # of the picture in which all is unfolded


def test_numbers_are_printed_as_in_python(tmp_path: Path) -> None:
    chance = random.Random(5)
    values = [0.0, -0.0, 0.125, 0.375, 2.5, -12.0, 99994.7, 99995.0, 999999.5, 1e6, 1234567.0, 1e22, 1.5e300, 3e-7]
    values += [9.9996, 0.00012345, 0.000099999, 5e-324, -0.5, 1e5 + 0.5, 0.1, 2.675, 1.0005, 1.00050000000000001]
    values += [chance.uniform(-1, 1) * 10 ** chance.randint(-9, 12) for _ in range(300)]
    values += [k / 64 for k in range(1, 200, 7)]  # many ties
    driver = f"report([1, 2, 4, 8, 15].map((d) => {json.dumps(values)}.map((x) => numberText(x, d))));"
    found = browsed(page_text(router()), driver, tmp_path)
    for digits, said in zip((1, 2, 4, 8, 15), found, strict=True):
        assert said == [number_text(value, digits) for value in values]


AWKWARD = [0.0, 1e-9, 0.3, 0.999, 1.0, 1.01, 1.999, 2.0, 2.5, 3.0, 6.0, 20.0, 800.0, 1e300]


def test_every_function_is_that_of_the_reference(tmp_path: Path) -> None:
    assert set(JAVASCRIPT) == set(FUNCTIONS) - {"uniform"}
    points = [*AWKWARD, *(-x for x in AWKWARD), math.inf, -math.inf, math.nan]
    names = {"a": "a", "b": "b", "c": "c"}
    driver, expected = "const m = functions; const found = [];", []
    for name, template in FUNCTIONS.items():
        if name == "uniform":
            continue
        operands = [Symbol(letter) for letter in "abc"[: template.arity]]
        written = to_javascript(Call(name, tuple(operands)), names)
        driver += f"found.push((a, b, c) => {written});"
        tuples = [(a, b, 7.0) for a in points for b in (points if template.arity > 1 else [0.0])]
        results = [float(NUMPY[name](*map(np.float64, t[: template.arity]))) for t in tuples]
        expected.append((name, tuples, results))
    literal = json.dumps([["NaN" if x != x else str(x).replace("inf", "Infinity") for x in t] for t in expected[0][1]])
    single = json.dumps(
        [["NaN" if x != x else str(x).replace("inf", "Infinity") for x in (a, 0.0, 7.0)] for a in points]
    )
    ones = [FUNCTIONS[name].arity == 1 for name, _, _ in expected]
    driver += (
        f"const many = {literal}, few = {single}, ones = {json.dumps(ones)};"
        "const said = (x) => (Object.is(x, -0) ? '-0' : String(x));"
        "report(found.map((f, k) => (ones[k] ? few : many).map((t) => said(f(...t.map(Number))))));"
    )
    for (name, tuples, results), found in zip(expected, browsed(page_text(router()), driver, tmp_path), strict=True):
        for t, result, text in zip(tuples, results, found, strict=True):
            number = float(text.replace("Infinity", "inf"))
            if math.isfinite(result) and abs(result) > 1e-300:
                assert number == pytest.approx(result, rel=1e-12, abs=0), (name, t)
            else:
                # what underflows here may be a last subnormal there
                same = number == result or (math.isnan(number) and math.isnan(result))
                assert same or abs(number) + abs(result) < 1e-290, (name, t)
            if name in ("max", "min") and result == 0:
                assert math.copysign(1, number) == math.copysign(1, result), (name, t)  # the first wins a tie


def test_steps_show_and_hide_what_the_frames_do(tmp_path: Path) -> None:
    run = neuron()
    driver = """
    const visible = () => [...document.querySelectorAll("figure text[id]")]
      .filter((t) => getComputedStyle(t.closest(".step") ?? t).display !== "none").map((t) => t.id.slice(2)).sort();
    const lit = () => [...document.querySelectorAll("figure .now")]
      .filter((g) => getComputedStyle(g).display !== "none").map((g) => g.parentElement.id);
    const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const found = { start: visible(), lit: [], steps: [], said: [] };
    press("Home");
    for (let k = 0; k < data.frames; k += 1) {
      found.steps.push(visible()); found.lit.push(lit());
      found.said.push(document.getElementById("step").textContent);
      press(k % 2 ? " " : "ArrowRight");
    }
    press("Home"); press("ArrowLeft"); found.first = visible();
    press("End"); press("ArrowLeft"); found.before = visible();
    press("End"); press(" "); found.wrapped = visible();
    document.getElementById("last").click(); found.last = visible();
    document.getElementById("previous").click(); found.previous = visible();
    document.getElementById("first").click();
    document.getElementById("next").click(); found.second = visible();
    const field = document.querySelector("#inputs input");
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true })); found.typed = visible();
    report(found);
    """
    found = browsed(page_text(run), driver, tmp_path)
    scene = draw(run).scene
    frames = [sorted(_ids(scene, k)) for k in range(scene.frames)]
    # the wider picture of the page stands still in the same frames
    assert list(found["steps"]) == frames
    assert found["start"] == found["last"] == frames[-1]
    assert found["first"] == found["wrapped"] == frames[0]
    assert found["before"] == found["previous"] == frames[-2]
    assert found["second"] == found["typed"] == frames[1]
    assert found["lit"][0] == []
    assert found["lit"][-1] == []
    assert len(found["lit"][1]) == 1
    assert all(len(lit) <= 1 for lit in found["lit"])
    assert found["said"][0].startswith(f"Step 1 of {scene.frames}: the inputs")
    assert "forward, gate ×" in found["said"][1]
    assert "backward, gate 1/x" in found["said"][10]


def _ids(scene: Any, frame: int) -> list[str]:
    from graphc.drawing.scene import texts, visible

    return [text.id for text in texts(visible(scene.items, frame)) if text.id]


def test_an_edit_in_an_early_step_gives_the_same_picture_as_one_at_the_end(tmp_path: Path) -> None:
    places = "[...document.querySelectorAll('figure text[id]')].map((t) => [t.id, t.getAttribute('x'), t.textContent])"
    driver = f"""{EDIT}
    go(0); enter(0, "0.123"); go(99); const early = {places};
    enter(0, "7"); enter(0, "0.123"); report([early, {places}]);
    """
    early, late = browsed(page_text(neuron()), driver, tmp_path)
    assert early == late


def test_a_gate_in_focus_explains_itself_in_a_live_region(tmp_path: Path) -> None:
    driver = f"""{EDIT}
    const gates = [...document.querySelectorAll("figure [tabindex]")];
    const said = () => [...document.querySelectorAll("#explanation p")].map((p) => p.textContent);
    const gate = gates.find((g) => g.getAttribute("aria-label").startsWith("gate ×:"));
    moveFocus(gate);
    const found = {{ focus: said(), reached: gates.length, focused: document.activeElement === gate }};
    enter(1, "5"); found.edited = said();
    document.getElementById("c-wire-0").dispatchEvent(new PointerEvent("pointerenter"));
    found.hover = said();
    go(0); document.getElementById("c-gate-2").dispatchEvent(new PointerEvent("pointerenter"));
    found.early = said();
    found.live = document.getElementById("explanation").getAttribute("aria-live");
    report(found);
    """
    run = CORPUS["product"]()
    found = browsed(page_text(run), driver, tmp_path)
    assert found["focused"]
    assert found["reached"] == 3
    assert found["live"] == "polite"
    assert found["focus"] == [
        "gate ×: f = x·y",
        "value 4·(−3) = −12",
        "gradient 1",
        "to x: local y = −3 × upstream 1 = downstream −3",
        "to y: local x = 4 × upstream 1 = downstream 4",
    ]
    assert found["early"][1:3] == ["value shown in a later step", "gradient shown in a later step"]
    assert found["edited"][1] == "value 4·5 = 20"
    assert found["hover"] == ["input x = 4", "gradient 5"]
    assert "20" not in " ".join(found["early"])  # what a later step shows is not given away


def test_a_gradient_of_several_readers_is_explained_as_their_sum(tmp_path: Path) -> None:
    said = "[...document.querySelectorAll('#explanation p')].map((p) => p.textContent)"
    driver = f"moveFocus(document.getElementById('c-wire-0')); report({said});"
    assert browsed(page_text(CORPUS["square_by_itself"]()), driver, tmp_path) == ["input x = 3", "gradient 3 + 3 = 6"]


def test_the_view_is_saved_as_the_svg_of_its_step(tmp_path: Path) -> None:
    driver = f"""{EDIT}
    let saved = "", link = null;
    window.Blob = class {{ constructor(parts) {{ saved = parts.join(""); }} }};
    URL.createObjectURL = () => "blob:picture";
    HTMLAnchorElement.prototype.click = function () {{ link = [this.href, this.download]; }};
    go(1); enter(0, "0.123"); document.getElementById("save").click();
    report([saved, link]);
    """
    run = neuron()
    saved, link = browsed(page_text(run), driver, tmp_path)
    assert link == ["blob:picture", "circuit.svg"]
    root = ElementTree.fromstring(saved)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    kept = [e for e in root.iter() if e.tag.endswith("}text") and e.get("id")]
    assert sorted(e.get("id", "")[2:] for e in kept) == sorted(_ids(draw(run).scene, 1))
    assert "0.123" in {e.text for e in kept}


def test_an_entry_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    driver = EDIT + (
        "enter(0, '5'); const before = numbers(); enter(0, ''); const invalid ="
        "document.querySelector('#inputs input').getAttribute('aria-invalid');"
        "const after = numbers(); report([before, after, invalid]);"
    )
    before, after, invalid = browsed(page_text(router()), driver, tmp_path)
    assert before == after
    assert invalid == "true"


def test_the_page_works_under_its_own_policy_and_refuses_other_scripts(tmp_path: Path) -> None:
    program = browser()
    if program is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    file = tmp_path / "page.html"
    file.write_text(page_text(neuron()).replace("</body>", "<script>document.title = 'stranger'</script></body>"))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}", "--dump-dom"]
    dom = subprocess.run(
        [program, *flags, file.as_uri()], capture_output=True, timeout=120, check=False
    ).stdout.decode()
    assert "Step 19 of 19: every number" in dom  # the page's script ran
    assert "<title>stranger" not in dom


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Mapping[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("build", [neuron, hostile_run, convolutional_network], ids=lambda f: f.__name__)
def test_the_page_asks_for_nothing_but_itself(build: Callable[[], Any]) -> None:
    page = page_text(build())
    parser = _Elements()
    parser.feed(page)
    assert not {"src", "href", "srcset", "action"} & {name for _, attributes in parser.found for name in attributes}
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in parser.found}
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"@import|url\(|fetch\(|import\(|XMLHttpRequest|WebSocket", page)
    ids = [attributes["id"] for _, attributes in parser.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    (policy,) = (a["content"] for _, a in parser.found if a.get("http-equiv") == "Content-Security-Policy")
    script = page.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"'sha256-{digest}'" in policy


def test_the_browser_loads_the_page_and_nothing_else(tmp_path: Path) -> None:
    driver = EDIT + "go(0); enter(0, '0.5'); report(performance.getEntriesByType('resource').map((e) => e.name));"
    assert browsed(page_text(neuron()), driver, tmp_path) == []


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    names = [
        *HOSTILE,
        "</script><script>report('got in')</script>",
        "${1}`'\"\\",
        "<!--<script>",
        "<img src=x onerror=alert(1)>",
    ]
    nodes = [graphc.input(name) for name in names]
    total = nodes[0]
    for k, node in enumerate(nodes[1:]):
        total = (total * node).named(f"<b>{k}&\"'")
    run = graphc.backward(total).at(dict.fromkeys(nodes, 1.5))
    page = page_text(run)
    assert page.count("<script") == page.count("</script>") == 2
    parser = _Elements()
    parser.feed(page)
    assert not [name for _, attributes in parser.found for name in attributes if name.startswith("on")]
    script = page.rsplit("<script>", 1)[1]
    assert "got in" not in script
    assert "漢" not in script
    driver = EDIT + (
        "enter(0, '2'); report({"
        "labels: [...document.querySelectorAll('#inputs label')].map((l) => l.textContent.trim()),"
        "made: document.querySelectorAll('main b, img').length, exact: numbers().exact.at(-1)[0] });"
    )
    found = browsed(page, driver, tmp_path)
    assert found["made"] == 0
    assert [label for label in found["labels"] if len(label) < 20] == [n for n in names if len(n) < 20]
    assert close(found["exact"], 2 * 1.5 ** (len(names) - 1))


def test_a_graph_with_arrays_shows_its_numbers_and_says_that_they_stay(tmp_path: Path) -> None:
    x = graphc.input("x", (3,))
    run = graphc.backward(graphc.sum(graphc.exp(x)).named("f")).at(x=[1.0, 2.0, 3.0])
    page = page_text(run, draw(run, style="circuit"))
    assert "<input" not in page
    assert "has arrays" in page
    driver = """
    const said = () => [...document.querySelectorAll("#explanation p")].map((p) => p.textContent);
    moveFocus(document.getElementById("c-gate-1")); const gate = said();
    moveFocus(document.getElementById("c-wire-0")); const input = said();
    go(0); report([document.getElementById("step").textContent, gate, input]);
    """
    step, gate, leaf = browsed(page, driver, tmp_path)
    assert step.startswith("Step 1 of")
    assert gate[1] == "shape (3,)"
    assert leaf[0] == "input x, shape (3,)"


def test_pictures_without_numbers_or_without_frames_are_pages_too() -> None:
    symbolic = page_text(neuron().back)
    assert "<input" not in symbolic
    assert "graphc.backward(node).at(" in symbolic
    cards = page_text(convolutional_network())
    assert "<input" not in cards
    assert 'id="next"' not in cards
    assert page_text(draw(neuron())).count("<svg") == 1


def test_marks_of_a_check_keep_the_numbers_as_they_were() -> None:
    run = neuron()
    page = page_text(run, draw(run, marks={"w0": "agrees"}))
    assert "<input" not in page
    assert "verdicts of a check" in page


def test_the_same_graph_gives_the_same_page() -> None:
    assert page_text(neuron()) == page_text(neuron())


@pytest.mark.parametrize("view", ["window", "toeplitz"])
def test_pictures_of_other_styles_step_too(view: str, tmp_path: Path) -> None:
    image, weight = graphc.input("image", (1, 1, 4, 4)), graphc.parameter("w", (1, 1, 2, 2))
    y = graphc.conv2d(image, weight).named("y")
    run = graphc.backward(graphc.sum(y)).at(image=np.arange(16.0).reshape(1, 1, 4, 4), w=np.ones((1, 1, 2, 2)))
    drawing = draw(run, style="convolution", view=view)
    driver = """
    const seen = () => [...document.querySelectorAll("figure text")].filter((t) => t.getClientRects().length);
    const said = () => seen().map((t) => t.textContent);
    const found = [document.getElementById("step").textContent, said().sort()];
    go(0); found.push(document.getElementById("step").textContent, said().sort());
    report(found);
    """
    last, end, first, begin = browsed(drawing.html(), driver, tmp_path)
    assert last.startswith("Step 9 of 9")
    assert first.startswith("Step 1 of 9")
    for frame, found in ((8, end), (0, begin)):
        assert found == sorted(text.text for text in texts(visible(drawing.scene.items, frame)))


def test_what_cannot_be_written_in_javascript_is_refused() -> None:
    with pytest.raises(DrawingError, match="uniform"):
        to_javascript(Call("uniform", (Number(1), Number(2), Number(3))), {})
    with pytest.raises(DrawingError, match="'x'"):
        to_javascript(Symbol("x"), {})
    assert to_javascript(parse_expression("a - -2"), {"a": "v[0]"}) == "(v[0] - (-2))"
    assert to_javascript(Number(-math.inf), {}) == "(-Infinity)"
