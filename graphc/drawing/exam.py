"""Which parts of a circuit are shown, hidden, or left to be filled in. Nothing moves, and no answer is left.

The picture is laid out from the whole circuit and written from a second one, in which a hidden text is empty and
an answer is the mark `BLANK`: whatever a writer puts into a file (titles, descriptions, alternative texts, labels,
scripts) it reads from there, so it cannot give an answer away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.drawing.circuit import BLANK, Circuit, Element, Port
from graphc.errors import DrawingError, did_you_mean
from graphc.graph.node import Node

__all__ = ["ANSWERS", "KINDS", "Choice", "Rules", "read_choice", "read_rules"]

#: Parts of a circuit that can be shown or hidden: texts, then the drawing itself.
KINDS = (
    "values", "gradients", "locals", "formulas", "sums", "work", "patterns", "names", "wires", "gates", "legend",
)  # fmt: skip

#: Parts that can be left to be filled in.
ANSWERS = ("values", "gradients", "locals", "formulas", "sums", "work", "patterns")

_DRAWN = ("names", "wires", "gates", "legend")  # stay unless they are hidden by name


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str | None
    element: int | None
    operand: int | None  # where the rule is about one wire into a gate


@dataclass(frozen=True, slots=True)
class Rules:
    """A choice of parts: of a kind, of a node, or of one kind at one node."""

    rules: tuple[_Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def chosen(self, kind: str, element: int | None = None, operand: int | None = None) -> bool:
        """Say whether a part is among them."""
        return any(
            rule.kind in (None, kind)
            and rule.element in (None, element)
            and rule.operand in (None, operand)
            for rule in self.rules
        )  # fmt: skip

    def by_name(self, element: int) -> bool:
        """Say whether a node is among them by its name, not only by a kind."""
        return any(rule.element == element for rule in self.rules)


def read_rules(asked: Any, circuit: Circuit, what: str, kinds: Sequence[str] = KINDS) -> Rules:
    """Read a choice as a user writes it.

    Parameters
    ----------
    asked : str, Node or iterable
        Each entry is a kind (``"gradients"``), a node or its name, or a pair of the two (``("gradients", "x")``); in
        place of a node a pair (operand, gate) stands for one wire into a gate.
    what : str
        Name of the option, for messages.

    Raises
    ------
    DrawingError
        If an entry is neither.
    """
    if asked is None:
        return Rules()
    entries = [asked] if isinstance(asked, str | Node) or not isinstance(asked, Iterable) else list(asked)
    if isinstance(asked, tuple) and len(asked) == 2 and asked[0] in kinds and asked[1] not in kinds:
        entries = [asked]  # one pair, not a list of two
    return Rules(tuple(_read_rule(entry, circuit, what, kinds) for entry in entries))


def _read_rule(entry: Any, circuit: Circuit, what: str, kinds: Sequence[str]) -> _Rule:
    if isinstance(entry, str) and entry in kinds:
        return _Rule(entry, None, None)
    if isinstance(entry, tuple) and len(entry) == 2:
        if isinstance(entry[0], str) and entry[0] in kinds:
            return replace(_place(entry[1], circuit, what, kinds), kind=entry[0])
        return _place(entry, circuit, what, kinds)
    return _place(entry, circuit, what, kinds)


def _place(entry: Any, circuit: Circuit, what: str, kinds: Sequence[str]) -> _Rule:
    """A node, or a wire into a gate."""
    if isinstance(entry, tuple) and len(entry) == 2:
        operand, gate = (_found(part, circuit, what, kinds) for part in entry)
        if all(port.operand != operand for port in circuit.elements[gate].ports):
            raise DrawingError(f"{what}= names the wire {entry!r}, but the first is no operand of the second")
        return _Rule(None, gate, operand)
    return _Rule(None, _found(entry, circuit, what, kinds), None)


def _found(entry: Any, circuit: Circuit, what: str, kinds: Sequence[str]) -> int:
    if isinstance(entry, Node):
        for k, node in enumerate(circuit.nodes):
            if node is entry:
                return k
        raise DrawingError(f"{what}= names the node {entry.label!r}, which is not drawn", node=entry, site=entry.site)
    names = {element.name: element.index for element in reversed(circuit.elements) if element.name}
    names |= {node.label: k for k, node in enumerate(circuit.nodes) if node.label not in names}
    if isinstance(entry, str) and entry in names:
        return names[entry]
    known = (*kinds, *(element.name for element in circuit.elements if element.name))
    raise DrawingError(
        f"{what}= takes kinds ({', '.join(kinds)}), nodes or their names, or pairs such as "
        f"({kinds[0]!r}, 'x'); found {entry!r}{did_you_mean(str(entry), known)}"
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a circuit is shown, and what is left to be filled in.

    Attributes
    ----------
    whole : Circuit
        Everything; the picture is laid out from it.
    show, hide, exam : Rules
        Parts to show (all of them where there is no rule), to hide, and to leave to be filled in.
    answers : bool
        Whether the answers are given: the key of an examination.
    """

    whole: Circuit
    show: Rules
    hide: Rules
    exam: Rules
    answers: bool = False

    def is_hidden(self, kind: str, element: int | None = None, operand: int | None = None) -> bool:
        """Say whether a part is not drawn."""
        kept = not self.show or kind in _DRAWN or self.show.chosen(kind, element, operand)
        return not kept or self.hide.chosen(kind, element, operand)

    @property
    def asked(self) -> Circuit:
        """The circuit with its answers left to be filled in."""
        return _blanked(self.whole, self.is_hidden, self.exam)

    @property
    def written(self) -> Circuit:
        """The circuit that goes into files."""
        return _blanked(self.whole, self.is_hidden, Rules()) if self.answers else self.asked


def read_choice(circuit: Circuit, show: Any, hide: Any, exam: Any, answers: bool) -> Choice:
    """Read what a user asks to show, to hide and to leave to be filled in.

    Raises
    ------
    DrawingError
        If an entry is neither a kind of part, a node nor a pair of the two, or there are no answers to give.
    """
    if answers and exam is None:
        raise DrawingError("answers=True writes the key of an examination; say with exam= what is to be filled in")
    choice = Choice(
        circuit,
        read_rules(show, circuit, "show"),
        read_rules(hide, circuit, "hide"),
        read_rules(exam, circuit, "exam", ANSWERS),
        answers,
    )
    if exam is not None and choice.asked == _blanked(circuit, choice.is_hidden, Rules()):
        raise DrawingError(
            "exam= leaves nothing to be filled in: the picture shows none of these parts; draw a run for numbers, "
            "and take care that show= and hide= keep them"
        )
    return choice


def _blanked(circuit: Circuit, is_hidden: Callable[..., bool], exam: Rules) -> Circuit:
    """Return the circuit as it is written: hidden texts are empty, answers are `BLANK`.

    An answer takes along what repeats it: the gradient of a wire the terms and worked lines in which it stands, the
    value of a wire the local gradients that are this value.
    """

    def blank_value(e: Element) -> bool:
        # the inputs are given, unless one is asked for by name
        return exam.chosen("values", e.index) and (bool(e.symbol) or exam.by_name(e.index))

    def blank_gradient(e: Element) -> bool:
        return exam.chosen("gradients", e.index)

    valued = {e.name: e for e in circuit.elements if e.name}

    def port(e: Element, p: Port) -> Port:
        at = (e.index, p.operand)
        local, formula = exam.chosen("locals", *at), exam.chosen("formulas", *at)
        repeats = p.formula in valued and blank_value(valued[p.formula])
        same = p.formula == p.number  # a constant: one text is both
        no_number = local or repeats or (same and formula)
        no_formula = local or formula or (same and no_number)
        operand = circuit.elements[p.operand]
        worked = exam.chosen("work", *at)
        in_line = circuit.with_work and not is_hidden("work", *at)
        in_sum = bool(operand.shares) and not (is_hidden("sums", p.operand) or is_hidden("gradients", p.operand))
        no_sent = worked or blank_gradient(operand) or exam.chosen("sums", operand.index)
        return replace(
            p,
            formula=_text(p.formula, is_hidden("formulas", *at) or is_hidden("locals", *at), no_formula),
            latex="" if no_formula or is_hidden("formulas", *at) or is_hidden("locals", *at) else p.latex,
            number=_text(p.number, is_hidden("locals", *at), no_number),
            upstream=_text(p.upstream, not in_line, worked or blank_gradient(e)),
            sent=_text(p.sent, not (in_line or in_sum), no_sent),
        )

    def element(e: Element) -> Element:
        k = e.index
        no_formula = exam.chosen("formulas", k) or (not e.value and blank_value(e))
        hide_formula = is_hidden("formulas", k) or (not e.value and is_hidden("values", k))
        return replace(
            e,
            value=_text(e.value, is_hidden("values", k), blank_value(e) and not e.value.startswith("(")),
            expression=_text(e.expression, hide_formula, no_formula),
            expression_latex="" if hide_formula or no_formula else e.expression_latex,
            gradient=_text(e.gradient, is_hidden("gradients", k), blank_gradient(e)),
            gradient_name="" if is_hidden("gradients", k) else e.gradient_name,
            gradient_latex="" if is_hidden("gradients", k) or _named(e, blank_gradient) else e.gradient_latex,
            pattern=_text(e.pattern, is_hidden("patterns", k), exam.chosen("patterns", k)),
            ports=tuple(port(e, p) for p in e.ports),
            shares=() if is_hidden("sums", k) or is_hidden("gradients", k) else e.shares,
            name="" if is_hidden("names", k) else e.name,
            name_latex="" if is_hidden("names", k) else e.name_latex,
        )

    return replace(circuit, elements=tuple(element(e) for e in circuit.elements))


def _named(e: Element, blank_gradient: Callable[[Element], bool]) -> bool:
    """Whether the name of the gradient is itself the answer, where there is no number."""
    return not e.gradient_name and blank_gradient(e)


def _text(text: str, is_hidden: bool, is_blank: bool) -> str:
    return "" if not text or is_hidden else BLANK if is_blank else text
