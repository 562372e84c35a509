"""Verdicts on the lines of a derivation: each as it stands, and as a step from what the earlier lines should have been.

A name that a line defines stands for the gradient of a node, if its value is that gradient, or if the lines that use
it are right once it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.claims import Claim
from graphc.checking.compare import Counterexample
from graphc.checking.diagnosis import Diagnosis, diagnose
from graphc.checking.diagnosis.evidence import same
from graphc.checking.diagnosis.explanation import called
from graphc.checking.language.names import GRADIENT, Names
from graphc.checking.lines import Line, written_out
from graphc.checking.points import FEWEST, Verdict, judge
from graphc.checking.precise import OutsideDomain
from graphc.checking.sampling import Sampler
from graphc.errors import CheckError
from graphc.formula.expression import Expression, operation_count, symbols
from graphc.graph.node import Node, topological

__all__ = ["LineJudge", "Step"]

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
                lines += [f"       {line}" for line in str(self.counterexample).splitlines()]
            lines.append(f"       {self.diagnosis or 'the cause is not known'}")
        return "\n".join(lines)


Values = list[Any]


class LineJudge:
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
        self.written: dict[str, Expression] = {}
        self.formulas: dict[int, Expression] = {}
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
        prepared: list[tuple[Line, Node | None, Values | None, Values | None]] = []
        for k, line in enumerate(self.lines):
            own, meant = self.values(line.claim, self.own), self.values(line.claim, self.meant)
            node = line.target if line.target is not None else self.meaning(k, line, own, meant)
            self.remember(line, node, own, meant)
            prepared.append((line, node, own, meant))
        claims = [self.claim(line, node) for line, node, _, _ in prepared if node is not None]
        verdicts = iter(judge(self.circuit, claims, seed=self.seed) if claims and self.states else [])
        steps = []
        for line, node, own, meant in prepared:
            verdict = None if node is None else next(verdicts, None)
            blame = tuple(sorted({n for name in self.used(line.claim) for n in self.blame.get(name, ())}))
            made = self.judged(line, node, own, meant, verdict, blame)
            for key in line.keys:
                self.blame[key] = (line.number,) if made.verdict == "wrong" else made.because
            steps.append(made)
        return steps

    def judged(
        self,
        line: Line,
        node: Node | None,
        own: Values | None,
        meant: Values | None,
        verdict: Verdict | None,
        blame: tuple[int, ...],
    ) -> Step:
        """The step of a line, from its values and the verdict on it as it stands."""
        if node is None and self.states:
            return Step(line.number, line.text, None, "definition", None, None, blame)
        if node is None or verdict is None or (not verdict.wrong and (verdict.unclear or verdict.points < FEWEST)):
            note = "too few of the points tried lie in the domain of the graph"
            return Step(line.number, line.text, None, "undecided", None, None, blame, note=note)
        correct = self.gradient(node)
        step = self.equal(meant, correct)
        right = not verdict.wrong
        label = called(node)
        if right:
            note = ""
            if blame and not step:
                note = f"it holds, but not as a step from your line {' and '.join(map(str, blame))}: mistakes cancel"
            return Step(line.number, line.text, label, "right", True, step, (), None, Diagnosis(), note)
        if not step and not blame:
            blame = self.repeats(line, node, own)
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

    def claim(self, line: Line, node: Node) -> Claim:
        """A line with the student's earlier lines written out."""
        expression = self.formulas[line.number]
        if operation_count(expression) > _OPERATIONS:
            raise CheckError(f"line {line.number}, with earlier lines written out, has over {_OPERATIONS} operations")
        table = {name: found for name in symbols(expression) if (found := self._node(name)) is not None}
        nodes = {name: found for name, found in table.items() if not name.startswith(GRADIENT)}
        gradients = {name: found for name, found in table.items() if name.startswith(GRADIENT)}
        return Claim(node, line.text, expression, None, nodes, gradients)

    def _node(self, name: str) -> Node | None:
        if name.startswith(GRADIENT):
            return self.names.find(name.removeprefix(GRADIENT))
        return self.names.find(name) if name in self.names.nodes else None

    def remember(self, line: Line, node: Node | None, own: Values | None, meant: Values | None) -> None:
        """Enter a line for those that use it."""
        assert line.claim.expression is not None
        should = self.gradient(node) if node is not None else meant
        self.formulas[line.number] = written_out(line.claim.expression, self.written)
        for key in line.keys:
            self.source[key] = line
            self.written[key] = self.formulas[line.number]
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
        by_value = next((n for values in (own, meant) for n in nodes if self.equal(values, self.gradient(n))), None)
        if by_value is not None and (not targets or self._fitting(k, line, by_value)):
            return by_value
        # a value that is a gradient is one, unless no line fits it and all fit another
        most, meant_for = len(targets) - 1 if by_value is not None else 0, by_value
        for node in nodes:
            count = self._fitting(k, line, node)
            # dx = d says nothing of d by itself: that line may be the wrong one
            if count > most and (count > 1 or all(node is not target for target in targets)):
                most, meant_for = count, node
        return meant_for

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

    def _fitting(self, k: int, line: Line, node: Node) -> int:
        """How many later lines that use a name are right where the name stands for the gradient of a node."""
        table = {**self.meant, **dict.fromkeys(line.keys, self.gradient(node))}
        fresh, count = set(line.keys), 0
        for later in self.lines[k + 1 :]:
            if not fresh & self.used(later.claim):
                continue
            values = self.values(later.claim, table)
            if later.target is not None:
                count += self.equal(values, self.gradient(later.target))
            elif values is not None:
                table |= dict.fromkeys(later.keys, values)
                fresh |= set(later.keys)
        return count

    def repeats(self, line: Line, node: Node, own: Values | None) -> tuple[int, ...]:
        """Wrong lines whose mistake a line repeats without naming them: the sweep that goes on from their gradients."""
        wrong = {key: x for key, x in self.source.items() if self.blame.get(key) and x.number < line.number}
        if not wrong or own is None:
            return ()
        for key, other in reversed(wrong.items()):
            if other.target is None or other.target is node or key not in self.own:
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
