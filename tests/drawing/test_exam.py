"""Parts shown, hidden or left to be filled in: nothing moves, and no file gives an answer away."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import pytest

import graphc
from graphc.drawing import Drawing, draw, frames
from graphc.drawing.circuit import BLANK, Circuit
from graphc.drawing.exam import ANSWERS, KINDS
from graphc.drawing.scene import Group, Item, Path, Scene, Text
from graphc.errors import DrawingError
from tests.drawing.geometry import overlaps, walk
from tests.drawing.graphs import neuron, random_circuit, router, scalar_lstm, simple

ALL = [*ANSWERS]


def marked_run() -> Any:
    """A graph whose numbers cannot be in a file by chance, with fan-out, all patterns and a kink."""
    a, b, c = graphc.inputs("a b c")
    p = (a * b).named("p")
    q = (p + graphc.max(b, c)).named("q")
    s = graphc.sigmoid(q).named("s")
    f = (s * q + graphc.exp(p)).named("f")
    return graphc.backward(f).at(a=1.23457, b=-0.76543, c=-2.34567)


def said(circuit: Circuit) -> Iterator[tuple[str, str]]:
    """Every answer that is longer than a digit or two, with its kind."""
    for e in circuit.elements:
        yield "values", e.value if e.symbol else ""
        yield "gradients", e.gradient
        yield "formulas", e.expression
        yield "patterns", e.pattern
        for p in e.ports:
            yield "locals", p.number
            yield "formulas", p.formula
            yield "sums", p.sent


def answers(drawing: Drawing) -> set[str]:
    """Answers that stand in a box of the key and nowhere among what is given."""
    assert drawing.choice is not None
    whole, asked = drawing.choice.whole, drawing.choice.asked
    given = {text for kind, text in said(asked) if text != BLANK}
    given |= {e.value for e in whole.elements if not e.symbol}
    pairs = zip(said(whole), said(asked), strict=True)
    blank = {text for (_, text), (_, shown) in pairs if shown == BLANK}
    return {text for text in blank - given if len(text.strip("−")) > 3}


def forms(text: str) -> list[str]:
    """What an answer may look like in a file."""
    bare = text.lstrip("−")
    return [bare] if re.fullmatch(r"[\d.e−∞]+", bare) else [text, text.replace(" ", ""), bare]


def readable(data: bytes) -> str:
    """A file with its compressed parts unpacked, UTF-16 texts of a PDF and escapes of JSON read."""
    parts = [data]
    for start in re.finditer(rb"stream\n", data):
        try:
            parts.append(zlib.decompressobj().decompress(data[start.end() :]))
        except zlib.error:
            continue
    codes = re.findall(rb"<FEFF([0-9A-F]*)>", b"\n".join(parts))
    parts += [bytes.fromhex(code.decode()).decode("utf-16-be").encode() for code in codes]
    text = b"\n".join(parts).decode("utf-8", "replace")
    text += re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    text += re.sub(r"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]).decode("cp1252", "replace"), text)
    return text + re.sub(r"\\ensuremath\{\\mkern-1mu-\\mkern-1mu\}", "−", text)


def files(drawing: Drawing, raster: bool = True) -> Iterator[tuple[str, bytes]]:
    for suffix, write in drawing.writers().items():
        if suffix == ".png" and not raster:
            continue
        made = write()
        yield suffix, made if isinstance(made, bytes) else made.encode()
    yield "notebook", "".join([*drawing._repr_mimebundle_().values(), repr(drawing)]).encode()


EXAMS: dict[str, list[Any]] = {
    "all": ALL,
    **{kind: [kind] for kind in ANSWERS},
    "gradients and locals": ["gradients", "locals"],
    "one gradient": [("gradients", "p")],
    "one node": ["q"],
    "one wire": [("locals", ("q", "s"))],
}


QUICK = ("all", "values", "one gradient", "one wire")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in EXAMS])
def test_no_file_gives_an_answer_away(name: str) -> None:
    drawing = draw(marked_run(), exam=EXAMS[name], digits=6, form="both", work=True, patterns=True)
    hidden = answers(drawing)
    if name == "all":
        assert len(hidden) > 20
    for suffix, data in files(drawing, raster=name == "all"):
        text = readable(data)
        for answer in hidden:
            for form in forms(answer):
                assert form not in text, f"{form} is in the {suffix} file"


def test_the_search_finds_every_answer_of_the_key() -> None:
    drawing = draw(marked_run(), exam=ALL, digits=6, form="both", work=True, patterns=True)
    key = drawing.key()
    for suffix, data in files(key, raster=False):  # a raster picture says nothing
        text = readable(data)
        found = [answer for answer in answers(drawing) if any(form in text for form in forms(answer))]
        assert len(found) >= 18, f"{suffix}: {found}"


def test_the_numbers_that_a_page_computes_with_are_not_in_the_page_of_an_examination() -> None:
    run = marked_run()
    page = draw(run, exam=["gradients"]).html()
    assert "v[0]" not in page
    assert "v[0]" in draw(run).html()
    numbers = [repr(float(run.grad(node)))[:8] for node in run.back.nodes]
    assert not [number for number in numbers if len(number) == 8 and number in page]
    assert repr(float(run.value("f")))[:8] in readable(draw(run, digits=12).html().encode())


def outlines(scene: Scene) -> set[str]:
    """Outlines of formulas, without where they stand."""
    found = set()
    for _, item in walk(scene.items):
        if isinstance(item, Path) and item.label:
            x, y = item.commands[0][1:3]
            found.add(str([round(v - (x, y)[k % 2], 2) for c in item.commands for k, v in enumerate(c[1:])]))
    return found


def test_no_outline_of_a_formula_is_left() -> None:
    run = marked_run()
    plain, exam = draw(run, form="both", work=True), draw(run, form="both", work=True, exam=["formulas", "gradients"])
    named = draw(run, hide=["formulas", "values"], form="both", work=True)
    assert outlines(exam.scene) <= outlines(named.scene) < outlines(plain.scene)


# ---------------------------------------------------------------- nothing moves


def placed(items: tuple[Item, ...]) -> set[tuple[Any, ...]]:
    """Everything that is drawn, with its coordinates; boxes of answers and marks left out."""
    found: set[tuple[Any, ...]] = set()
    for item in items:
        if isinstance(item, Group):
            found |= set() if item.classes in ("blank", "answer", "now") else placed(item.items)
        elif isinstance(item, Text):
            found.add((round(item.x, 6), round(item.y, 6), item.text, item.size))
        else:
            found.add((item.fill, item.stroke, *(round(v, 6) for c in item.commands for v in c[1:])))
    return found


RUNS: dict[str, Callable[[], Any]] = {
    "simple": simple, "neuron": neuron, "router": router, "scalar_lstm": lambda: scalar_lstm(2),
    "marked": marked_run, "random": lambda: random_circuit(5, 19),
}  # fmt: skip


EVERY = [
    pytest.param(name, marks=pytest.mark.slow) if name in ("scalar_lstm", "random", "neuron") else name for name in RUNS
]


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("name", EVERY)
def test_exam_and_key_stand_where_the_plain_picture_stands(name: str, direction: str) -> None:
    run = RUNS[name]()
    plain = draw(run, direction=direction, work=True)
    exam = draw(run, direction=direction, work=True, exam=["values", "gradients", "locals", "work"])
    key = exam.key()
    assert {(s.width, s.height, s.frames) for s in (d.scene for d in (plain, exam, key))} == {
        (plain.scene.width, plain.scene.height, plain.scene.frames)
    }
    given = placed(exam.scene.items)
    assert given < placed(plain.scene.items)
    wires = {item for item in placed(plain.scene.items) if len(item) > 4}
    assert wires >= {item for item in given if len(item) > 4}
    # in the key an answer may be centred in its box
    texts = sorted(text for *_, text, size in (i for i in placed(key.scene.items) if len(i) == 4) if size)
    assert texts == sorted(text for *_, text, size in (i for i in placed(plain.scene.items) if len(i) == 4) if size)
    assert overlaps(exam.scene) == overlaps(key.scene) == []


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("name", EVERY)
def test_any_subset_is_shown_or_hidden_without_moving_anything(name: str, direction: str) -> None:
    run, chance = RUNS[name](), random.Random(name)
    whole = draw(run, direction=direction, work=True, patterns=True)
    everything = placed(whole.scene.items)
    names = [e.name for e in whole.content.elements if e.name]
    for _ in range(6):
        kinds = chance.sample(KINDS, chance.randint(0, 4))
        some = chance.sample(names, min(2, len(names)))
        asked: list[Any] = [*kinds, *some, (chance.choice(KINDS[:4]), names[0])]
        for option in ("hide", "show"):
            drawing = draw(run, direction=direction, work=True, patterns=True, **{option: asked})
            assert (drawing.scene.width, drawing.scene.height) == (whole.scene.width, whole.scene.height)
            moved = {item for item in placed(drawing.scene.items) - everything if len(item) == 4}
            assert moved == set(), (option, asked)


def texts_of(drawing: Drawing, kind: str) -> int:
    return sum(1 for _, item in walk(drawing.scene.items) if isinstance(item, Text) and item.classes == kind)


def test_each_kind_hides_its_own_texts_and_no_others() -> None:
    run = neuron()
    whole = draw(run, work=True, patterns=True)
    classes = {"values": "value", "gradients": "gradient", "patterns": "pattern", "work": "upstream"}
    for kind, name in classes.items():
        hidden = draw(run, work=True, patterns=True, hide=[kind])
        shown = draw(run, work=True, patterns=True, show=[kind])
        assert texts_of(whole, name) > 0
        assert texts_of(hidden, name) == 0
        assert texts_of(shown, name) == texts_of(whole, name)
        for other in set(classes.values()) - {name}:
            assert texts_of(hidden, other) == texts_of(whole, other)
            assert texts_of(shown, other) == 0
    ids = {item.id for item in draw(run, hide=["wires", "gates"]).scene.items if isinstance(item, Group)}
    assert not any(i.startswith(("link-", "gate-")) for i in ids)


def test_a_pair_is_about_one_node_and_a_name_about_all_of_its_texts() -> None:
    run = simple()
    x, y, z = (draw(run, hide=[("gradients", "x"), "y"]).content.elements[k] for k in (0, 1, 3))
    assert (x.name, x.value, x.gradient) == ("x", "−2", "")
    assert (y.name, y.value, y.gradient, z.gradient) == ("", "", "", "3")
    assert draw(run, hide=("gradients", "x")).svg() == draw(run, hide=[("gradients", run.back.find("x"))]).svg()
    only = {e.name: e for e in draw(run, show=["values", "x"]).content.elements}
    assert (only["x"].gradient, only["y"].gradient, only["y"].value) == ("−4", "", "5")


# ---------------------------------------------------------------- examinations


def test_the_inputs_are_given_unless_one_is_asked_for_by_name() -> None:
    exam = {e.name: e for e in draw(simple(), exam=["values"]).content.elements}
    assert {name: exam[name].value for name in "xyzqf"} == {"x": "−2", "y": "5", "z": "−4", "q": BLANK, "f": BLANK}
    assert {e.name: e.value for e in draw(simple(), exam=["x"]).content.elements}["x"] == BLANK


def test_a_local_gradient_that_is_the_value_asked_for_is_left_out_too() -> None:
    ports = {e.name: e.ports for e in draw(simple(), exam=["values"]).content.elements}["f"]
    assert [(p.formula, p.number) for p in ports] == [("z", "−4"), ("q", BLANK)]


def test_a_gradient_takes_along_the_terms_and_worked_lines_that_repeat_it() -> None:
    x = graphc.inputs("x")
    run = graphc.backward((x * x + x).named("f")).at(x=3)
    exam = draw(run, exam=[("gradients", "x")], work=True)
    assert [p.sent for e in exam.content.elements for p in e.ports if p.operand == 0] == [BLANK] * 3
    assert {e.name: exam.content.sum_text(e) for e in exam.content.elements}[
        "x"
    ] == f"{BLANK} + {BLANK} + {BLANK} = {BLANK}"


def test_the_key_is_a_second_file_with_the_answers_in_the_boxes(tmp_path: FilePath) -> None:
    run = neuron()
    drawing = draw(run, tmp_path / "exam.svg", exam=["gradients"])
    key = drawing.key(tmp_path / "key.svg")
    exam_text, key_text = ((tmp_path / f"{name}.svg").read_text("utf-8") for name in ("exam", "key"))
    assert exam_text.count('class="blank"') == key_text.count('class="answer"') == 13
    assert "to fill in" in exam_text
    assert "to fill in" not in key_text
    assert "0.3932" not in exam_text
    assert "0.3932" in key_text
    assert key.svg() == draw(run, exam=["gradients"], answers=True).svg()


def test_an_examination_in_every_format_says_where_to_write() -> None:
    drawing = draw(simple(), exam=["gradients"])
    assert drawing.text().count(BLANK) == 5
    assert drawing.dot().count(BLANK) == 5
    assert drawing.svg().count("to fill in") >= 5
    assert BLANK not in drawing.svg()


def test_frames_of_an_examination_hold_no_answer_either(tmp_path: FilePath) -> None:
    run = marked_run()
    still = draw(run, exam=ALL, digits=6, work=True)
    hidden = answers(still)
    for name in ("steps.svg", "steps.pdf", "steps.tex", "steps.tikz"):
        for file in frames(run, tmp_path / name, exam=ALL, digits=6, work=True):
            text = readable(file.read_bytes())
            assert not [a for a in hidden if any(form in text for form in forms(a))], file.name
    last = max(tmp_path.glob("steps-*.svg"))
    assert last.read_text("utf-8") == still.svg()
    (key,) = frames(run, tmp_path / "key.tikz", exam=ALL, digits=6, work=True, answers=True)
    assert sum(any(form in readable(key.read_bytes()) for form in forms(a)) for a in hidden) > 15


def test_symbolic_examinations_ask_for_the_names_of_gradients() -> None:
    x, y = graphc.inputs("x y")
    drawing = draw(graphc.backward((x * y).named("f")), exam=["gradients", "formulas"])
    assert "∂" not in drawing.svg()
    assert "∂f/∂x" in drawing.key().text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exam": ["gradient"]}, r"exam= takes kinds \(values, gradients.*found 'gradient'; did you mean 'gradients'"),
        ({"exam": ["wires"]}, "exam= takes kinds"),
        ({"hide": [("values", "w9")]}, "hide= takes kinds.*found 'w9'"),
        ({"hide": [3]}, "hide= takes kinds.*found 3"),
        ({"show": [("x", "f")]}, "show= names the wire .*no operand"),
        ({"exam": ["patterns"]}, "exam= leaves nothing to be filled in"),
        ({"exam": []}, "exam= leaves nothing to be filled in"),
        ({"answers": True}, "answers=True writes the key of an examination"),
        ({"exam": ["gradients"], "hide": ["gradients", "work", "sums"]}, "exam= leaves nothing to be filled in"),
        ({"form": "formal"}, "unknown form 'formal'; known: numeric, symbolic, both"),
    ],
)
def test_what_cannot_be_shown_or_asked_is_refused(options: Any, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        draw(simple(), **options)


def test_there_is_no_key_without_an_examination() -> None:
    with pytest.raises(DrawingError, match="no key without an examination"):
        draw(simple()).key()


def test_numbers_need_a_run_and_cards_have_no_examination() -> None:
    x, y = graphc.inputs("x y")
    with pytest.raises(DrawingError, match="form='both' needs numbers"):
        draw(graphc.backward(x * y), form="both")
    with pytest.raises(DrawingError, match="form='symbolic' needs gradients"):
        draw(x * y, form="symbolic")
    with pytest.raises(DrawingError, match=r"style='cards' has no option exam=; exam= is an option of style='circuit'"):
        draw(simple(), style="cards", exam=["values"])
    assert replace(draw(simple()), choice=None).choice is None
