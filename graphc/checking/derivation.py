"""A derivation line by line: which line is the first wrong one, and which wrong lines merely follow from it.

Every line is judged twice: as it stands, with the student's own earlier lines written out, and as a step, with what
the earlier lines should have been. A line whose step is right but whose result is wrong follows from an earlier one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.claims import Claim
from graphc.checking.compare import Counterexample
from graphc.checking.diagnosis import Diagnosis, diagnose
from graphc.checking.diagnosis.evidence import same
from graphc.checking.language.names import GRADIENT, Names
from graphc.checking.lines import Line, read_lines, written_out
from graphc.checking.points import Verdict, judge
from graphc.checking.precise import OutsideDomain
from graphc.checking.sampling import Sampler
from graphc.errors import CheckError
from graphc.formula.expression import Expression, operation_count, symbols
from graphc.gradients.backward import Backward
from graphc.graph.node import Node, topological

__all__ = ["Derivation", "Step", "check_derivation"]

#: Points at which lines are compared as steps.
_POINTS = 4

#: Operations of a line with its earlier lines written out, at most.
_OPERATIONS = 20_000

_WORDS = {
    "right": "right",
    "definition": "a definition",
    "wrong": "WRONG",
    "follows": "follows from",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Step:
    """The verdict on one line.

    Attributes
    ----------
    number : int
        Of the line, from 1 on.
    text : str
        The line as given.
    node : str or None
        Name of the node whose gradient the line claims or, if it defines a name, stands for; None where it stands for
        no gradient.
    verdict : str
        ``"right"``; ``"wrong"`` (the mistake is made here); ``"follows"`` (wrong, and the step from the earlier lines
        is right); ``"definition"``; ``"undecided"``.
    right : bool or None
        Whether the line holds as it stands; None where that has no meaning or is not known.
    step : bool or None
        Whether it holds when the earlier lines are taken as they should be.
    because : tuple of int
        Wrong lines that it follows from.
    counterexample : Counterexample or None
        Where the line as it stands differs from the gradient.
    diagnosis : Diagnosis
        What is wrong with the step, where the mistake is made here.
    note : str
        What else there is to say.
    """

    number: int
    text: str
    node: str | None
    verdict: str
    right: bool | None
    step: bool | None
    because: tuple[int, ...] = ()
    counterexample: Counterexample | None = None
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    note: str = ""

    def __str__(self) -> str:
        word = _WORDS[self.verdict]
        if self.verdict == "follows":
            numbers = " and ".join(map(str, self.because))
            word += f" your line {numbers}, which is wrong" if len(self.because) == 1 else f" your lines {numbers}"
        lines = [f"{self.number:>3}  {self.text}   {word}"]
        if self.note:
            lines.append(f"       {self.note}")
        if self.verdict == "wrong":
            if self.counterexample is not None:
                lines.append(f"       {self.counterexample}")
            lines.append(f"       {self.diagnosis or 'the cause is not known'}")
        return "\n".join(lines)


class Derivation(Sequence[Step]):
    """Verdicts on the lines of a derivation, in their order.

    Attributes
    ----------
    root : Node
        What was differentiated.
    steps : tuple of Step
    seconds : float
        Time taken in all.
    """

    def __init__(self, root: Node, steps: Sequence[Step], seconds: float) -> None:
        self.root, self.steps, self.seconds = root, tuple(steps), seconds

    def __getitem__(self, number: Any) -> Any:
        return self.steps[number]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def first_wrong(self) -> Step | None:
        """The first line in which a mistake is made."""
        return next((step for step in self.steps if step.verdict == "wrong"), None)

    @property
    def ok(self) -> bool:
        """Whether every line is right."""
        return all(step.verdict in ("right", "definition") for step in self.steps)

    @property
    def exit_code(self) -> int:
        """0 if all lines are right, 1 if one is wrong, 3 if one is undecided and none is wrong."""
        verdicts = {step.verdict for step in self.steps}
        return 1 if verdicts & {"wrong", "follows"} else 3 if "undecided" in verdicts else 0

    def marks(self) -> dict[Any, str]:
        """Kind of mistake by (operand, gate) and by node, of the first wrong line: data for a drawing."""
        first = self.first_wrong
        return {} if first is None else first.diagnosis.marks()

    def json(self) -> str:
        """The report as JSON text."""
        lines = [
            {
                "line": step.number,
                "text": step.text,
                "node": step.node,
                "verdict": step.verdict,
                "right": step.right,
                "step": step.step,
                "because": list(step.because),
                "diagnosis": str(step.diagnosis) if step.diagnosis else None,
                "note": step.note,
            }
            for step in self.steps
        ]
        first = self.first_wrong
        return json.dumps(
            {
                "root": self.root.label,
                "ok": self.ok,
                "exit_code": self.exit_code,
                "first_wrong": None if first is None else first.number,
                "lines": lines,
            },
            indent=2,
        )

    def __str__(self) -> str:
        first = self.first_wrong
        head = f"Derivation of gradients of {self.root.label}, {len(self.steps)} lines: "
        head += f"the first wrong one is line {first.number}" if first is not None else "no line is wrong"
        if first is None and not self.ok:
            head = head.removesuffix("no line is wrong") + "some are undecided"
        return "\n".join([head, *map(str, self.steps)])

    def __repr__(self) -> str:
        return f"<Derivation on {self.root.label!r}: {', '.join(s.verdict for s in self.steps)}>"


def check_derivation(subject: Node | Backward, lines: str | Iterable[str], *, seed: int = 0) -> Derivation:
    """Check a derivation of gradients line by line.

    Parameters
    ----------
    subject : Node or Backward
        What was differentiated, as for ``graphc.check``.
    lines : str or iterable of str
        ``"dW = X.T @ d"`` claims a gradient, ``"let d = p - y"`` or ``"delta3 = ..."`` defines a name; both may be
        used in later lines. What is claimed may be written as ``df/dW``, ``∂f/∂W``, LaTeX, ``dW`` or ``W.grad``.
    seed : int
        Of the random points.

    Returns
    -------
    Derivation
        A `Step` for each line; ``.first_wrong`` is the one with the first mistake.

    Raises
    ------
    CheckError
        If a line cannot be read or uses an unknown name.

    Examples
    --------
    >>> import graphc
    >>> w, x, t = graphc.inputs("w x t")
    >>> d = (graphc.tanh((w * x).named("s")).named("h") - t).named("d")
    >>> report = graphc.check_derivation(d * d / 2, ["dh = d", "ds = dh*(1 - s**2)", "dw = ds*x"])
    >>> [step.verdict for step in report]
    ['right', 'wrong', 'follows']
    """
    if not isinstance(subject, Node | Backward):
        raise CheckError(f"check_derivation needs a node or a backward, found {type(subject).__name__}")
    start = time.perf_counter()
    root = subject if isinstance(subject, Node) else subject.root
    upstream = None
    if isinstance(subject, Backward) and not (subject.seed.kind == "constant" and subject.seed.value == 1.0):
        upstream = subject.seed
    circuit = Circuit(root, upstream=upstream)
    names = Names(circuit)
    read = read_lines(lines, names, circuit)
    steps = _Judge(circuit, names, read, seed).steps()
    return Derivation(root, steps, time.perf_counter() - start)


Values = list[Any]


class _Judge:
    """Values of lines at some points: as the student has them, and as they should be."""

    def __init__(self, circuit: Circuit, names: Names, lines: Sequence[Line], seed: int) -> None:
        self.circuit, self.names, self.lines, self.seed = circuit, names, lines, seed
        self.precision = "exact" if circuit.scalar or circuit.operations() <= 20_000 else "double"
        self.states = list(self._states(seed))
        self.keys = {key for line in lines for key in line.keys}
        #: By name: the line that later lines mean, its student's values, and those that it should have.
        self.source: dict[str, Line] = {}
        self.own: dict[str, Values] = {}
        self.meant: dict[str, Values] = {}
        self.formulas: dict[str, Expression] = {}
        self.blame: dict[str, tuple[int, ...]] = {}

    def _states(self, seed: int) -> Iterator[State]:
        import mpmath

        sampler = Sampler(self.circuit, seed)
        found = 0
        for attempt in range(60):
            point = sampler.generic((1.0, 0.3, 2.0)[attempt % 3], attempt % 2 == 1 and attempt > 10)
            try:
                with mpmath.workdps(60):
                    state = self.circuit.state(point, self.precision)
            except OutsideDomain:
                continue
            yield state
            found += 1
            if found == _POINTS:
                return

    # ---- values ----------------------------------------------------------------------------------

    def values(self, claim: Claim, table: Mapping[str, Values]) -> Values | None:
        """Values of a right-hand side; names of earlier lines have those of a table. None where it has none."""
        import mpmath

        found = []
        for k, state in enumerate(self.states):
            environment = {name: state.values[node.id] for name, node in claim.nodes.items()}
            environment |= {name: state.gradients[node.id] for name, node in claim.upstream.items()}
            used = self.used(claim)
            if not used - table.keys() <= environment.keys():
                return None  # an earlier line without a value
            environment |= {name: rows[k] for name, rows in table.items() if name in used}
            try:
                with mpmath.workdps(60), numpy.errstate(all="ignore"):
                    found.append(claim.value(environment, state.precision))
            except (OutsideDomain, OverflowError, ZeroDivisionError, ValueError):
                return None
        return found

    def used(self, claim: Claim) -> set[str]:
        """Names of earlier lines that a right-hand side uses."""
        assert claim.expression is not None
        return set(symbols(claim.expression)) & self.keys

    def gradient(self, node: Node) -> Values:
        """The right gradient of a node."""
        return [state.gradients[node.id] for state in self.states]

    def equal(self, a: Values | None, b: Values) -> bool:
        """Whether values agree at all points; a number stands for an array of equal entries."""
        import mpmath

        if a is None:
            return False
        digits = 40 if self.precision == "exact" else 9
        with mpmath.workdps(60):
            return bool(a) and all(
                same(
                    numpy.broadcast_to(numpy.asarray(x, object), numpy.shape(y)) if numpy.shape(x) == () else x,
                    y,
                    digits,
                )
                for x, y in zip(a, b, strict=True)
            )

    # ---- lines -----------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """Judge all lines."""
        return [self.step(k, line) for k, line in enumerate(self.lines)]

    def step(self, k: int, line: Line) -> Step:
        own, meant = self.values(line.claim, self.own), self.values(line.claim, self.meant)
        node = line.target
        if node is None:
            node = self.meaning(k, line, own, meant)
        blame = tuple(sorted({n for name in self.used(line.claim) for n in self.blame.get(name, ())}))
        made = self.judged(line, node, own, meant, blame)
        self.remember(line, node, own, meant, made)
        return made

    def judged(
        self, line: Line, node: Node | None, own: Values | None, meant: Values | None, blame: tuple[int, ...]
    ) -> Step:
        if not self.states:
            return Step(line.number, line.text, None, "undecided", None, None, note="no point lies in the domain")
        if node is None:
            return Step(line.number, line.text, None, "definition", None, None, blame)
        correct = self.gradient(node)
        step = self.equal(meant, correct)
        verdict = self.absolute(line, node)
        right = not verdict.wrong
        label = node.label
        if right:
            note = ""
            if blame and not step:
                note = f"it holds, but not as a step from your line {' and '.join(map(str, blame))}: mistakes cancel"
            return Step(line.number, line.text, label, "right", True, step, (), None, Diagnosis(), note)
        if not step and not blame:
            blame = self.repeats(node, own)
            step = bool(blame)
        if step and blame:
            return Step(line.number, line.text, label, "follows", False, True, blame, verdict.counterexample)
        samples = list(zip(self.states, meant, strict=True)) if meant is not None else []
        found = diagnose(self.circuit, node, samples or verdict.samples, list(self.names.nodes))
        note = verdict.misfit
        if line.target is None:
            note = f"{line.name} is used as the gradient of {label}" + (f"; {note}" if note else "")
        if step and not blame:
            note = note or "only the value on a kink is wrong"
        return Step(
            line.number, line.text, label, "wrong", False, step, blame, verdict.counterexample, found, note
        )  # fmt: skip

    def absolute(self, line: Line, node: Node) -> Verdict:
        """The verdict on a line with the student's earlier lines written out."""
        claim = line.claim
        assert claim.expression is not None
        expression = written_out(claim.expression, self.formulas)
        if operation_count(expression) > _OPERATIONS:
            raise CheckError(f"line {line.number}, with earlier lines written out, has over {_OPERATIONS} operations")
        used = set(symbols(expression))
        table = {name: n for name in used if (n := self._node(name)) is not None}
        nodes = {name: n for name, n in table.items() if not name.startswith(GRADIENT)}
        gradients = {name: n for name, n in table.items() if name.startswith(GRADIENT)}
        (verdict,) = judge(self.circuit, [Claim(node, line.text, expression, None, nodes, gradients)], seed=self.seed)
        return verdict

    def _node(self, name: str) -> Node | None:
        if name.startswith(GRADIENT):
            return self.names.find(name.removeprefix(GRADIENT))
        return self.names.find(name) if name in self.names.nodes else None

    def remember(self, line: Line, node: Node | None, own: Values | None, meant: Values | None, made: Step) -> None:
        """Enter a line for those that use it."""
        assert line.claim.expression is not None
        should = self.gradient(node) if node is not None else meant
        formula = written_out(line.claim.expression, self.formulas)
        for key in line.keys:
            self.source[key] = line
            self.formulas[key] = formula
            self.blame[key] = (line.number,) if made.verdict == "wrong" else made.because
            for table, values in ((self.own, own), (self.meant, should)):
                table.pop(key, None)
                if values is not None:
                    table[key] = values

    # ---- what a name stands for --------------------------------------------------------------------

    def meaning(self, k: int, line: Line, own: Values | None, meant: Values | None) -> Node | None:
        """The node whose gradient a defined name stands for: by its value, or by how later lines use it.

        Only nodes on the way from what later lines claim to the root count: ``t - y`` is the gradient of ``t``, but a
        line that goes on from it to a weight takes it for that of ``y``.
        """
        targets = self._users(k, line)
        nodes = [n for n in self._candidates(meant if meant is not None else own) if self._on_way(n, targets)]
        for values in (own, meant):
            for node in nodes:
                if self.equal(values, self.gradient(node)):
                    return node
        for node in nodes:
            if self._fits_later(k, line, node):
                return node
        return None

    def _users(self, k: int, line: Line) -> list[Node]:
        """Whose gradients later lines claim by way of a name."""
        keys, found = set(line.keys), []
        for later in self.lines[k + 1 :]:
            if keys & (set(symbols(later.claim.expression)) if later.claim.expression is not None else set()):
                if later.target is not None:
                    found.append(later.target)
                else:
                    keys |= set(later.keys)
        return found

    def _on_way(self, node: Node, targets: Sequence[Node]) -> bool:
        """Whether a node lies between the root and some target, or there are no targets."""
        below = {n.id for n in topological([node])}
        return not targets or any(target.id in below for target in targets)

    def _candidates(self, values: Values | None) -> list[Node]:
        """Nodes of the shape of values that a gradient reaches, named ones first."""
        if not values:
            return []
        shape = numpy.shape(values[0])
        found = [
            n for n in self.circuit.nodes
            if n.is_float and n.kind != "constant" and n is not self.circuit.root
            and self.circuit.shapes[n.id] == shape and any(numpy.any(g != 0) for g in self.gradient(n))
        ]  # fmt: skip
        return sorted(found, key=lambda n: n.name is None)

    def _fits_later(self, k: int, line: Line, node: Node) -> bool:
        """Whether the first line that uses a name is right once the name stands for the gradient of a node."""
        table = {**self.meant, **dict.fromkeys(line.keys, self.gradient(node))}
        fresh = set(line.keys)
        for later in self.lines[k + 1 :]:
            if not fresh & self.used(later.claim):
                continue
            values = self.values(later.claim, table)
            if later.target is not None:
                return self.equal(values, self.gradient(later.target))
            if values is None:
                return False
            table |= dict.fromkeys(later.keys, values)
            fresh |= set(later.keys)
        return False

    def repeats(self, node: Node, own: Values | None) -> tuple[int, ...]:
        """Wrong lines whose mistake a line repeats without naming them: the sweep that goes on from their gradients."""
        wrong = {key: x for key, x in self.source.items() if self.blame.get(key) and x.target is not None}
        if not wrong or own is None:
            return ()
        for key, other in reversed(wrong.items()):
            assert other.target is not None
            if other.target is node or key not in self.own:
                continue
            values = [self._swept(s, node, other.target, self.own[key][k]) for k, s in enumerate(self.states)]
            if self.equal(own, values):
                return self.blame[key]
        return ()

    def _swept(self, state: State, node: Node, start: Node, value: Any) -> Any:
        """Gradient of a node, had another node the gradient given."""
        import mpmath

        with mpmath.workdps(60):
            return self._swept_exactly(state, node, start, value)

    def _swept_exactly(self, state: State, node: Node, start: Node, value: Any) -> Any:
        gradients: dict[int, Any] = {self.circuit.root.id: state.gradients[self.circuit.root.id]}
        for later in reversed(self.circuit.nodes):
            if later is start:
                gradients[later.id] = numpy.broadcast_to(value, numpy.shape(state.values[later.id]))[()]
            if later.id not in gradients:
                continue
            for position in self.circuit.edges_into.get(later.id, ()):
                source = self.circuit.edges[position].source
                part = self.circuit.pull(position, state, gradients[later.id])
                gradients[source.id] = gradients[source.id] + part if source.id in gradients else part
        return gradients.get(node.id, 0 * state.gradients[node.id])
