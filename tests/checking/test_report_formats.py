"""Reports as coloured text, JSON with a schema, one HTML page, and a drawing with the place of the mistake."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest

import graphc
from graphc.checking.schema import schema
from graphc.checking.text import coloured, joined_text, report_parts
from tests.checking import mutation_graphs as graphs

SCHEMA = schema()
_TYPES = {
    "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool,
    "null": type(None),
}  # fmt: skip


def problems(data, rule, where="$"):
    """What a JSON value does against a rule of the schema: the part of draft 2020-12 that the schema uses."""
    if "$ref" in rule:
        yield from problems(data, SCHEMA["$defs"][rule["$ref"].removeprefix("#/$defs/")], where)
    if "anyOf" in rule and all(any(problems(data, choice, where)) for choice in rule["anyOf"]):
        yield f"{where}: none of the choices fits {str(data)[:80]}"
    if "const" in rule and data != rule["const"]:
        yield f"{where}: {data!r} is not {rule['const']!r}"
    if "enum" in rule and data not in rule["enum"]:
        yield f"{where}: {data!r} is not in {rule['enum']}"
    if "type" in rule:
        names = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        fits = any(
            isinstance(data, _TYPES[name]) and not (isinstance(data, bool) and name in ("number", "integer"))
            for name in names
        )
        if not fits:
            yield f"{where}: {data!r:.60} is no {names}"
            return
    if isinstance(data, dict):
        properties = rule.get("properties", {})
        yield from (f"{where}: {key} is missing" for key in rule.get("required", ()) if key not in data)
        for key, value in data.items():
            if key in properties:
                yield from problems(value, properties[key], f"{where}.{key}")
            elif rule.get("additionalProperties") is False:
                yield f"{where}: {key} is not in the schema"
            elif isinstance(rule.get("additionalProperties"), dict):
                yield from problems(value, rule["additionalProperties"], f"{where}.{key}")
    if isinstance(data, list):
        if not rule.get("minItems", 0) <= len(data) <= rule.get("maxItems", len(data)):
            yield f"{where}: {len(data)} items"
        for k, item in enumerate(data):
            yield from problems(item, rule.get("items", {}), f"{where}[{k}]")
    counts = isinstance(data, int | float) and not isinstance(data, bool)
    if counts and not rule.get("minimum", data) <= data <= rule.get("maximum", data):
        yield f"{where}: {data} is out of range"


def conforms(data, name):
    found = list(problems(data, SCHEMA["$defs"][name]))
    assert not found, "\n".join(found[:10])


def neuron(**claims):
    given = {"w0": "f*(1 - f)*x0", "x0": "f*w0", "s": "s*(1 - s)", "x1": "sqrt(f)"}
    return graphc.check(graphs.folded_neuron(), claims or given, proof_seconds=0)


# ---- JSON ------------------------------------------------------------------------------------------------


def test_schema_uses_only_what_is_checked_here():
    known = {
        "$ref", "$schema", "$defs", "title", "description", "anyOf", "const", "enum", "type", "properties", "required",
        "additionalProperties", "items", "minItems", "maxItems", "minimum", "maximum",
    }  # fmt: skip

    def words(rule):
        for key, value in rule.items():
            yield key
            tables = value.values() if key in ("properties", "$defs") else value if key == "anyOf" else [value]
            for inner in tables:
                if isinstance(inner, dict):
                    yield from words(inner)

    assert set(words(SCHEMA)) <= known


def test_check_of_the_schema_finds_mistakes():
    good = json.loads(neuron().json())
    conforms(good, "report")
    for spoil in (
        lambda d: d.pop("root"), lambda d: d.update(extra=1), lambda d: d.update(ok=1),
        lambda d: d["claims"][0].update(verdict="maybe"), lambda d: d["claims"][0].update(digits=1.5),
        lambda d: d["claims"][1]["counterexample"].pop("at"),
        lambda d: d["claims"][1]["explanations"][0].update(edges=[["s"]]),
    ):  # fmt: skip
        bad = json.loads(json.dumps(good))
        spoil(bad)
        assert list(problems(bad, SCHEMA["$defs"]["report"]))


@pytest.mark.parametrize("build", [graphs.two_layer_net, graphs.relu_classifier], ids=lambda b: b.__name__)
def test_reports_on_arrays_follow_the_schema(build):
    claims = {"W2": "H", "b1": "1"}
    report = graphc.check(build(), claims, proof_seconds=0)
    data = json.loads(report.json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    conforms(data, "report")
    assert data["format"] == 1


def test_derivations_follow_the_schema():
    from graphc.checking.derivation import check_derivation

    found = check_derivation(graphs.two_layers(), ["let e = t - y", "dw2 = e*h", "let k = 1 - h**2"])
    conforms(json.loads(found.json()), "derivation")


# ---- text ------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured(Terminal())
    assert not coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert coloured(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(Terminal())


def test_colour_changes_no_letter():
    report = neuron()
    plain, painted = report.text(colour=False), report.text(colour=True)
    assert plain == str(report)
    assert "\033" not in plain
    assert "\033[1;31mWRONG\033[0m" in painted
    assert re.sub(r"\033\[[0-9;]*m", "", painted) == plain
    assert joined_text(report_parts(report), colour=False) == plain


def test_text_says_where_why_and_what_is_correct():
    text = str(neuron()["x0"])
    assert text.splitlines()[0] == "x0: f*w0   WRONG"
    assert "the claim gives" in text
    assert "the factor 1 - f" in text
    assert text.splitlines()[-1].strip() == "correct: f * w0 * (1 - f)"


# ---- HTML ------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags that are open, and what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "path", "circle", "rect", "line"):
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith("#")]
        assert tag != "script"

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.words.append(data)


def test_page_is_whole_and_fetches_nothing():
    page = Page()
    text = neuron().html()
    page.feed(text)
    assert not page.fetched
    assert not page.open
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("<svg") == 1
    words = " ".join(page.words)
    assert "the factor 1 - f" in words
    assert "Conventions" in words
    assert not re.search(r"url\(\s*['\"]?http|@import", text)


def test_page_escapes_what_students_write():
    report = graphc.check(graphs.folded_neuron(), {"w0": "1 if f < 2 and x0 > 1 else 0"}, proof_seconds=0)
    text = report.html()
    assert "f &lt; 2" in text
    assert "f < 2" not in text


# ---- drawings ----------------------------------------------------------------------------------------------


def test_drawing_marks_the_gate_of_the_mistake_with_given_and_expected(tmp_path):
    report = neuron(x0="f*w0")
    picture = report.draw(tmp_path / "where.svg")
    assert (tmp_path / "where.svg").stat().st_size > 1000
    (best, *_) = report["x0"].explanations
    marked = [
        (picture.content.elements[port.operand].name, element.name, port.mark)
        for element in picture.content.elements
        for port in element.ports
        if port.mark
    ]
    assert (
        [(operand.label, gate.label) for operand, gate in best.edges] == [(a, b) for a, b, _ in marked] == [("s", "f")]
    )
    assert marked[0][2] == "x0, missing factor: given f*w0, expected f * w0 * (1 - f)"
    assert {e.name: e.mark for e in picture.content.elements if e.mark} == {"x0": "differs"}


def test_drawing_of_a_repeat_shows_the_step_of_the_mistake():
    weights, states = graphc.parameter("W", (2, 2)), graphc.input("h0", ("N", 2))

    def cell(x, h):
        new = graphc.tanh((h @ weights.T + x).named("s")).named("h")
        return new, new

    _, last = graphc.unroll(cell, graphc.input("x", (3, "N", 2)), states)
    loss = graphc.sum(last * graphc.input("G", ("N", 2))).named("L")
    report = graphc.check(loss, {"h[1]": "(G * (1 - h[2]**2)) @ W.T"}, proof_seconds=0)
    picture = report.draw()
    marks = {element.name: element.mark for element in picture.content.elements if element.mark}
    assert marks.pop("h[1]") == "differs"
    ports = [port.mark for element in picture.content.elements for port in element.ports if port.mark]
    assert any("transposed" in mark for mark in [*ports, *marks.values()])


def test_right_claims_leave_no_mark_but_their_verdict():
    picture = neuron(w0="f*(1 - f)*x0").draw()
    assert {e.name: e.mark for e in picture.content.elements if e.mark} == {"w0": "agrees"}
    assert not [port for e in picture.content.elements for port in e.ports if port.mark]
