"""`check`, and the report it returns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim, Names, read_claim
from graphc.checking.conventions import Conventions, as_conventions
from graphc.checking.diagnosis import Diagnosis, Explanation, diagnose
from graphc.checking.drawn import drawn_marks
from graphc.checking.expanding import correct
from graphc.checking.given import judge_at, read_numbers, sizes_at
from graphc.checking.html import html_text
from graphc.checking.points import FEWEST, Counterexample, Verdict, judge
from graphc.checking.proving import prove_claim
from graphc.checking.readable import readable_text
from graphc.checking.schema import plain_report
from graphc.checking.text import coloured, finding_parts, joined_text, report_parts
from graphc.checking.told import told_at
from graphc.errors import CheckError, did_you_mean
from graphc.gradients import Backward
from graphc.graph import verbs
from graphc.graph.node import Node, topological

__all__ = ["CONVENTIONS", "Finding", "Report", "check"]

#: What every report says about its rules, where nothing else is chosen.
CONVENTIONS = tuple(Conventions())

#: A graph on which a verdict takes longer than this, in seconds, is too large to look for the mistake.
_DIAGNOSED = 1.2


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
        The gradient as a lecturer writes it; None where it is too long to print, and of an array where the claim is
        right.
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
        What else there is to say, or an empty string; of a claim of the wrong shape, what is wrong with it.
    explanations : tuple of Explanation
        All mistakes that would give this claim, best first; ``diagnosis`` is their text.
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
    explanations: tuple[Explanation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the claim was found right."""
        return self.verdict in ("proved", "agrees")

    def __str__(self) -> str:
        return joined_text(finding_parts(self), colour=False)


class Report(Mapping[str, Finding]):
    """Findings by name of the node, in the order of the claims.

    Attributes
    ----------
    root : Node
        What was differentiated.
    seconds : float
        Time taken in all.
    conventions : Conventions
        What counted as right on kinks.
    circuit : Circuit or None
        The graph as it was checked: with repeats written out and numbers for named sizes.
    """

    def __init__(
        self,
        subject: Backward,
        findings: Mapping[Node, Finding],
        seconds: float,
        conventions: Conventions | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        self.subject = subject
        self.root = subject.root
        self.seconds = seconds
        self.conventions = conventions or Conventions()
        self.circuit = circuit
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

    def by_node(self) -> dict[Node, Finding]:
        """Findings by node instead of name: of the user's graph, or of the graph as it was checked."""
        return dict(self._by_node)

    def marks(self) -> dict[Node, str]:
        """Verdict of each node that a claim was made for: data for a drawing."""
        drawn = set(self.subject.nodes)
        return {node: finding.verdict for node, finding in self._by_node.items() if node in drawn}

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the graph: the verdict at each node, and where a mistake is made, what was given and what is expected.

        The best explanation of each wrong claim marks its gates or paths. Where one of them lies inside of a repeat
        or a cell, the graph is drawn as it was checked, with repeats written out.

        Parameters
        ----------
        path, options
            As for ``graphc.draw``.
        """
        subject, marks = drawn_marks(self)
        return verbs.lookup("draw")(subject, path, marks=marks, **options)

    def text(self, *, colour: bool | None = None) -> str:
        """The report as text.

        Parameters
        ----------
        colour : bool, optional
            With codes for a terminal; by default if standard output is one and ``NO_COLOR`` is not set.
        """
        return joined_text(report_parts(self), colour=coloured() if colour is None else colour)

    def json(self) -> str:
        """The report as JSON text: root, verdict of each claim, counterexamples, explanations, conventions.

        See Also
        --------
        graphc.checking.schema.schema : the published schema of it
        """
        return json.dumps(plain_report(self), indent=2, allow_nan=False)

    def html(self) -> str:
        """The report as the text of one page that needs nothing else: verdicts, explanations and the marked graph."""
        return html_text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        subject, marks = drawn_marks(self)
        return verbs.lookup("notebook_bundle")(subject, text=str(self), marks=marks)

    def __str__(self) -> str:
        return self.text(colour=False)

    def __repr__(self) -> str:
        return f"<Report on {self.root.label!r}: " + ", ".join(
            f"{name} {finding.verdict}" for name, finding in self._findings.items()
        ) + ">"  # fmt: skip


def check(
    subject: Node | Backward,
    claims: Mapping[Any, Any] | str | float,
    *,
    wrt: Node | str | None = None,
    at: Mapping[Any, Any] | None = None,
    proof_seconds: float = 2.0,
    seed: int = 0,
    conventions: Mapping[str, Any] | Conventions | None = None,
) -> Report:
    """Check hand-derived gradients of a graph.

    Shapes come first. Then claims are compared with the true gradients to 60 digits at half-integers, at random points
    and their mirror images, and on kinks; what agrees everywhere is then proved, if that succeeds in time.

    Parameters
    ----------
    subject : Node or Backward
        What was differentiated: a scalar, or a backward with the gradient that arrives at an array.
    claims : mapping, or one claim with ``wrt``
        Claimed gradient by node or name: a text such as ``"f*(1 - f)"`` or ``"X.T @ (P - Y) / N"``, a number, a SymPy
        expression, or a Python function of arrays that are handed in by name. A text may use inputs, named nodes, and
        ``f`` for the root; it is read by graphc's own parser and never executed. With ``at``, numbers and arrays.
    wrt : Node or str, optional
        Node of a single claim.
    at : mapping, optional
        Value of every input and parameter by name: claims are judged at this point only. A claimed decimal of two to
        nine digits counts as rounded.
    proof_seconds : float
        Time limit of each proof, in seconds; 0 leaves proofs out. The first proof of a program also waits for
        a process that loads SymPy.
    seed : int
        Of the random points.
    conventions : mapping, optional
        ``relu_at_zero``: ``"interval"`` (any slope from 0 to 1), 0 or 1; ``ties``: ``"interval"`` or ``"first"`` (the
        first of equal operands). See `Conventions`.

    Returns
    -------
    Report
        ``report["x"].verdict``, ``report.ok``, ``print(report)``.

    Raises
    ------
    CheckError
        If the root is an array and no gradient arrives at it, or a claim cannot be read or uses an unknown name.

    Notes
    -----
    Named sizes such as N become small numbers, and other ones once more; a proof of an array claim is one for these
    numbers, so only a graph without named sizes gets the verdict ``"proved"``.

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
    chosen = as_conventions(conventions)
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
    upstream = None
    if isinstance(subject, Backward) and not (subject.seed.kind == "constant" and subject.seed.value == 1.0):
        upstream = subject.seed
    sizes = None
    if at is not None:
        sizes = sizes_at(topological([root] if upstream is None else [root, upstream]), at)
    circuit = Circuit(root, upstream=upstream, sizes=sizes, conventions=chosen)
    names = Names(circuit)
    targets = {key: _target(key, names, circuit) for key in claims}
    if len({node.id for node in targets.values()}) < len(targets):
        raise CheckError("there are two claims for one node; the name f means the root where no node is called f")
    back = subject if isinstance(subject, Backward) else _backward(root)
    users = {node.id: user for user, node in circuit.standing.items()}
    begun = time.perf_counter()
    if at is not None:
        pairs = [read_numbers(targets[key], given, names) for key, given in claims.items()]
        read = [claim for claim, _ in pairs]
        verdicts = judge_at(circuit, pairs, at)
        proof_seconds = 0
    else:
        read = [read_claim(targets[key], given, names) for key, given in claims.items()]
        if proof_seconds > 0:
            from graphc.checking.proof import prover

            prover().start()  # loads while the points are compared
        verdicts = judge(circuit, read, seed=seed)
    shared = (time.perf_counter() - begun) / len(read)
    findings: dict[Node, Finding] = {}
    for claim, verdict in zip(read, verdicts, strict=True):
        begun = time.perf_counter()
        user = users.get(claim.target.id, claim.target)
        fewest = FEWEST if at is None else 1
        findings[user] = _finding(circuit, claim, verdict, names, fewest, proof_seconds, shared, begun)
    return Report(back, findings, time.perf_counter() - start, chosen, circuit)


def _backward(root: Node) -> Backward:
    return Backward(root, None, None)


def _target(key: Any, names: Names, circuit: Circuit) -> Node:
    if isinstance(key, Node):
        standing = circuit.standing.get(key, key)
        if all(node is not standing for node in circuit.below):
            raise CheckError(
                f"{key.label!r} is not below {circuit.root.label!r}, so it has no gradient", node=key, site=key.site
            )
        node = standing
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
    fewest: int,
    proof_seconds: float,
    shared: float,
    begun: float,
) -> Finding:
    word, note, found = "agrees", verdict.note, Diagnosis()
    if verdict.wrong:
        word = "differs"
        note = "\n".join(filter(None, (verdict.misfit, verdict.note)))
        if fewest == 1:
            found = told_at(claim.target, verdict.samples, [n for found in names.nodes.values() for n in found])
        elif shared < _DIAGNOSED:
            found = diagnose(circuit, claim.target, verdict.samples, list(names.nodes))
    elif verdict.points < fewest or verdict.unclear:
        word = "undecided"
        few = f"only {verdict.points} of the points tried lie in the domain of the graph"
        if verdict.hurried:
            few = f"there was time for {verdict.points} points only: declare fewer steps or smaller extents"
        note = (
            "at ties everywhere its values lie between the slopes, but are not graphc's own" if verdict.unclear else few
        )
    elif proof_seconds > 0 and claim.function is None:
        word, proof_note = prove_claim(circuit, claim, proof_seconds)
        note = "; ".join(filter(None, (note, proof_note)))
    return Finding(
        name=claim.target.label,
        verdict=word,
        claimed=claim.text,
        correct=_correct(circuit, claim.target, wrong=verdict.wrong),
        counterexample=verdict.counterexample,
        diagnosis=str(found) if found else None,
        digits=verdict.digits,
        points=verdict.points,
        seconds=shared + time.perf_counter() - begun,
        note=note,
        explanations=found.explanations,
    )


def _correct(circuit: Circuit, target: Node, *, wrong: bool) -> str | None:
    """The gradient as a lecturer writes it; of arrays only where somebody needs it."""
    try:
        if circuit.scalar:
            found = correct(circuit, target)
            return None if found is None else readable_text(found)
        if not wrong:
            return None
        from graphc.checking.language import claim_text
        from graphc.checking.written import written_gradient

        found = written_gradient(circuit, target)
        return None if found is None else readable_text(found, claim_text)
    except RecursionError:
        return None
