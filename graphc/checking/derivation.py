"""A derivation line by line: which line is the first wrong one, and which wrong lines merely follow from it.

Every line is judged twice: as it stands, with the student's own earlier lines written out, and as a step, with what
the earlier lines should have been. A line whose step is right but whose result is wrong follows from an earlier one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from graphc.checking.circuit import Circuit
from graphc.checking.language.names import Names
from graphc.checking.line_judge import LineJudge, Step
from graphc.checking.lines import read_lines
from graphc.errors import CheckError
from graphc.gradients.backward import Backward
from graphc.graph import verbs
from graphc.graph.node import Node

__all__ = ["Derivation", "Step", "check_derivation"]


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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(text=str(self))

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
    steps = LineJudge(circuit, names, read, seed).steps()
    return Derivation(root, steps, time.perf_counter() - start)
