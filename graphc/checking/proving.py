"""From a claim that agreed at every point to a question for the prover."""

from __future__ import annotations

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim, exact_constants
from graphc.formula.expression import Symbol, substitute

__all__ = ["prove_claim"]


def prove_claim(circuit: Circuit, claim: Claim, seconds: float) -> tuple[str, str]:
    """Verdict and note of an attempt to prove a claim that agreed at every point."""
    if not circuit.scalar:
        return "agrees", ""
    if claim.upstream or claim.expression is None:
        return "agrees", ""
    return _prove_scalar(circuit, claim, seconds)


def _prove_scalar(circuit: Circuit, claim: Claim, seconds: float) -> tuple[str, str]:
    from graphc.checking.proof import prover

    leaves = {node.id: f"v{k}" for k, node in enumerate(circuit.leaves)}
    forms = circuit.expanded(claim.target, leaves)
    if forms is None or claim.expression is None:
        return "agrees", "too long to be proved"
    expressions, gradient = forms
    over_leaves = {name: expressions[node.id] for name, node in claim.nodes.items()}
    over_leaves.setdefault("pi", Symbol("pi"))
    expanded = exact_constants(substitute(claim.expression, over_leaves))
    answer = prover().prove(expanded, exact_constants(gradient), seconds)
    if answer == "equal":
        return "proved", ""
    if answer == "equal away from ties":
        return "proved", "away from ties; ties were checked at points"
    return "agrees", "the proof took too long" if answer == "timeout" else "no proof was found"
