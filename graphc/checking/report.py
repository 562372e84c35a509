"""`check`, and the report it returns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim, Names, exact_constants, read_claim
from graphc.checking.diagnosis import diagnose
from graphc.checking.points import FEWEST, Counterexample, Verdict, judge
from graphc.errors import CheckError, did_you_mean
from graphc.formula.expression import Symbol, substitute, symbols, to_text
from graphc.gradients import Backward
from graphc.graph import verbs
from graphc.graph.node import Node

__all__ = ["CONVENTIONS", "Finding", "Report", "check"]

#: What every report says about its rules.
CONVENTIONS = (
    "All names are real numbers; a decimal such as 0.1 means exactly that.",
    "At a kink (max, min, abs, relu, a comparison) any value between the slopes on either side is accepted.",
    "graphc itself takes the first operand at a tie of max or min (relu is max(0, x): slope 0 at 0), and 0 for abs.",
    "'proved' holds wherever claim and gradient are both defined; 'agrees' is agreement at the points tried.",
)

_WORDS = {
    "proved": "right, proved",
    "agrees": "right at every point tried",
    "differs": "WRONG",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Finding:
    """The verdict on one claim.

    Attributes
    ----------
    name : str
        Node whose gradient was claimed.
    verdict : str
        ``"proved"``, ``"agrees"`` (points only), ``"differs"`` or ``"undecided"``.
    claimed : str
        The claim, as given.
    correct : str or None
        The gradient as a lecturer writes it; None where it is too long to print.
    counterexample : Counterexample or None
        A point where claim and gradient differ.
    diagnosis : str or None
        What is wrong, where that is certain.
    digits : int
        Digits to which claim and gradient agreed, or were compared.
    points : int
        Points compared.
    seconds : float
        Time taken, without reading the claim.
    note : str
        What else there is to say, or an empty string.
    """

    name: str
    verdict: str
    claimed: str
    correct: str | None
    counterexample: Counterexample | None
    diagnosis: str | None
    digits: int
    points: int
    seconds: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the claim was found right."""
        return self.verdict in ("proved", "agrees")

    def __str__(self) -> str:
        word = _WORDS[self.verdict]
        if self.verdict == "agrees":
            word = f"{word} ({self.digits} digits at {self.points} points)"
        lines = [f"{self.name}: {_shortened(self.claimed)}   {word}{', ' + self.note if self.note else ''}"]
        if self.verdict == "differs":
            if self.counterexample is not None:
                lines.append(f"    {self.counterexample}")
            if self.diagnosis is not None:
                lines.append(f"    {self.diagnosis}")
            if self.correct is not None:
                lines.append(f"    correct: {self.correct}")
        return "\n".join(lines)


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."


class Report(Mapping[str, Finding]):
    """Findings by name of the node, in the order of the claims.

    Attributes
    ----------
    root : Node
        What was differentiated.
    seconds : float
        Time taken in all.
    """

    def __init__(self, root: Node, findings: Mapping[Node, Finding], seconds: float) -> None:
        self.root = root
        self.seconds = seconds
        self._by_node = dict(findings)
        self._findings = {finding.name: finding for finding in findings.values()}

    def __getitem__(self, name: str | Node) -> Finding:
        if isinstance(name, Node):
            if name in self._by_node:
                return self._by_node[name]
            name = name.label
        if name not in self._findings:
            known = ", ".join(self._findings)
            raise KeyError(f"no claim was made for {name!r}{did_you_mean(name, self._findings)}; claims: {known}")
        return self._findings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._findings)

    def __len__(self) -> int:
        return len(self._findings)

    @property
    def ok(self) -> bool:
        """Whether every claim was found right."""
        return all(finding.ok for finding in self._findings.values())

    @property
    def exit_code(self) -> int:
        """0 if all claims are right, 1 if one is wrong, 3 if one is undecided and none is wrong."""
        verdicts = {finding.verdict for finding in self._findings.values()}
        if "differs" in verdicts:
            return 1
        return 3 if "undecided" in verdicts else 0

    def marks(self) -> dict[Node, str]:
        """Verdict of each node that a claim was made for: data for a drawing."""
        return {node: finding.verdict for node, finding in self._by_node.items()}

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the graph with the verdicts marked; ``path`` and options as for ``graphc.draw``."""
        return verbs.lookup("draw")(Backward(self.root, None, None), path, marks=self.marks(), **options)

    def json(self) -> str:
        """The report as JSON text: root, verdict of each claim, counterexamples, conventions."""
        return json.dumps(
            {
                "root": self.root.label,
                "ok": self.ok,
                "exit_code": self.exit_code,
                "seconds": round(self.seconds, 4),
                "claims": [_plain(finding) for finding in self._findings.values()],
                "conventions": list(CONVENTIONS),
            },
            indent=2,
        )

    def __str__(self) -> str:
        right = sum(finding.ok for finding in self._findings.values())
        lines = [f"Gradients of {self.root.label}: {right} of {len(self._findings)} claims right"]
        lines += [f"  {line}" for finding in self._findings.values() for line in str(finding).splitlines()]
        lines += ["Conventions", *(f"  {line}" for line in CONVENTIONS)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Report on {self.root.label!r}: " + ", ".join(
            f"{name} {finding.verdict}" for name, finding in self._findings.items()
        ) + ">"  # fmt: skip


def _plain(finding: Finding) -> dict[str, Any]:
    example = finding.counterexample
    return {
        "name": finding.name,
        "verdict": finding.verdict,
        "claimed": finding.claimed,
        "correct": finding.correct,
        "counterexample": None
        if example is None
        else {
            "at": dict(example.at),
            "claimed": example.claimed,
            "correct": example.correct,
            "interval": None if example.interval is None else list(example.interval),
        },
        "diagnosis": finding.diagnosis,
        "digits": finding.digits,
        "points": finding.points,
        "seconds": round(finding.seconds, 4),
        "note": finding.note,
    }


def check(
    subject: Node | Backward,
    claims: Mapping[Any, Any] | str | float,
    *,
    wrt: Node | str | None = None,
    proof_seconds: float = 2.0,
    seed: int = 0,
) -> Report:
    """Check hand-derived gradients of a scalar graph.

    Claims are compared with the true gradients to 60 digits at half-integers, at random points and their mirror
    images, and on kinks; what agrees everywhere is then proved, if that succeeds in time.

    Parameters
    ----------
    subject : Node or Backward
        What was differentiated: a scalar.
    claims : mapping, or one claim with ``wrt``
        Claimed gradient by node or name: a text such as ``"f*(1 - f)"``, a number, or a SymPy expression. A
        text may use inputs, named nodes, and ``f`` for the root; it is read by graphc's own parser and never
        executed.
    wrt : Node or str, optional
        Node of a single claim.
    proof_seconds : float
        Time limit of each proof, in seconds; 0 leaves proofs out. The first proof of a program also waits for
        a process that loads SymPy.
    seed : int
        Of the random points.

    Returns
    -------
    Report
        ``report["x"].verdict``, ``report.ok``, ``print(report)``.

    Raises
    ------
    CheckError
        If the graph is not scalar, or a claim cannot be read or uses an unknown name.

    Examples
    --------
    >>> import graphc
    >>> x, y, z = graphc.inputs("x y z")
    >>> report = graphc.check((x + y) * z, {"x": "z", "z": "x - y"}, proof_seconds=0)
    >>> report["x"].verdict, report["z"].verdict
    ('agrees', 'differs')
    >>> print(report["z"].counterexample)
    at x=2, y=-3, z=1.5 the claim gives 5; correct is -1
    """
    if not isinstance(subject, Node | Backward):
        raise CheckError(f"check needs a node or a backward, found {type(subject).__name__}")
    if isinstance(proof_seconds, bool) or not isinstance(proof_seconds, int | float) or not proof_seconds >= 0:
        raise CheckError(f"proof_seconds is a time in seconds, 0 for no proof; found {proof_seconds!r}")
    start = time.perf_counter()
    root = subject if isinstance(subject, Node) else subject.root
    if not isinstance(claims, Mapping):
        if wrt is None:
            raise CheckError("claims are a mapping from name to gradient, as in {'x': 'z'}, or one claim with wrt='x'")
        claims = {wrt: claims}
    elif wrt is not None:
        raise CheckError("wrt= goes with a single claim; here the claims say for themselves what they are for")
    if not claims:
        raise CheckError("there are no claims to check; write for example {'x': 'z'}")
    if not root.is_float:
        raise CheckError(
            f"{root.label!r} has dtype {root.dtype}; only floats have gradients", node=root, site=root.site
        )
    circuit = Circuit(root)
    names = Names(circuit)
    read = [read_claim(_target(key, names, circuit), given, names) for key, given in claims.items()]
    if len({claim.target.id for claim in read}) < len(read):
        raise CheckError("there are two claims for one node; the name f means the root where no node is called f")
    if proof_seconds > 0:
        from graphc.checking.proof import prover

        prover().start()  # loads while the points are compared
    resolved = {name: names.find(name) for claim in read for name in symbols(claim.expression) if name in names.nodes}
    begun = time.perf_counter()
    verdicts = judge(circuit, read, resolved, seed=seed)
    shared = (time.perf_counter() - begun) / len(read)
    findings: dict[Node, Finding] = {}
    for claim, verdict in zip(read, verdicts, strict=True):
        begun = time.perf_counter()
        findings[claim.target] = _finding(circuit, claim, verdict, names, resolved, proof_seconds, shared, begun)
    return Report(root, findings, time.perf_counter() - start)


def _target(key: Any, names: Names, circuit: Circuit) -> Node:
    if isinstance(key, Node):
        if all(node is not key for node in circuit.nodes):
            raise CheckError(
                f"{key.label!r} is not below {circuit.root.label!r}, so it has no gradient", node=key, site=key.site
            )
        node = key
    elif isinstance(key, str):
        node = names.find(key)
    else:
        raise CheckError(f"claims go by node or name, found {type(key).__name__}: {key!r:.60}")
    if not node.is_float or node.kind == "constant":
        what = f"dtype {node.dtype}" if not node.is_float else "a constant value"
        raise CheckError(f"{node.label!r} has {what}, and so no gradient", node=node, site=node.site)
    return node


def _finding(
    circuit: Circuit,
    claim: Claim,
    verdict: Verdict,
    names: Names,
    resolved: Mapping[str, Node],
    proof_seconds: float,
    shared: float,
    begun: float,
) -> Finding:
    word, note, diagnosis = "agrees", "", None
    if verdict.counterexample is not None:
        word = "differs"
        found = diagnose(circuit, claim.target, verdict.samples, list(names.nodes))
        diagnosis = str(found) if found else None
    elif verdict.points < FEWEST:
        word = "undecided"
        note = f"only {verdict.points} of the points tried lie in the domain of the graph"
    elif proof_seconds > 0:
        word, note = _proof(circuit, claim, resolved, proof_seconds)
    try:
        correct = circuit.correct(claim.target)
    except RecursionError:
        correct = None
    return Finding(
        name=claim.target.label,
        verdict=word,
        claimed=claim.text,
        correct=None if correct is None else to_text(correct),
        counterexample=verdict.counterexample,
        diagnosis=diagnosis,
        digits=verdict.digits,
        points=verdict.points,
        seconds=shared + time.perf_counter() - begun,
        note=note,
    )


def _proof(circuit: Circuit, claim: Claim, resolved: Mapping[str, Node], seconds: float) -> tuple[str, str]:
    """Verdict and note of an attempt to prove a claim that agreed at every point."""
    from graphc.checking.proof import prover

    leaves = {node.id: f"v{k}" for k, node in enumerate(circuit.leaves)}
    forms = circuit.expanded(claim.target, leaves)
    if forms is None:
        return "agrees", "too long to be proved"
    expressions, gradient = forms
    over_leaves = {name: expressions[node.id] for name, node in resolved.items()}
    if "pi" not in resolved:
        over_leaves["pi"] = Symbol("pi")
    expanded = exact_constants(substitute(claim.expression, over_leaves))
    answer = prover().prove(expanded, exact_constants(gradient), seconds)
    if answer == "equal":
        return "proved", ""
    if answer == "equal away from ties":
        return "proved", "away from ties; ties were checked at points"
    return "agrees", "the proof took too long" if answer == "timeout" else "no proof was found"
