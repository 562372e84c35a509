"""From a claim that agreed at every point to questions for the prover: one for a scalar, one for every entry else."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim, exact_constants
from graphc.checking.expanding import expanded
from graphc.checking.precise import OutsideDomain
from graphc.errors import CheckError
from graphc.formula.expression import Symbol, evaluate, substitute

__all__ = ["prove_claim", "transferred"]

#: Entries of an array that are proved one by one.
_MOST_ENTRIES = 16

#: Operations of a graph beyond which its entries are not written out.
_MOST_OPERATIONS = 4_000


def prove_claim(circuit: Circuit, claim: Claim, seconds: float) -> tuple[str, str]:
    """Verdict and note of an attempt to prove a claim that agreed at every point."""
    if claim.expression is None:
        return "agrees", ""
    if circuit.scalar and not claim.upstream:
        return _prove_scalar(circuit, claim, seconds)
    return _prove_entries(circuit, claim, seconds)


def _prove_scalar(circuit: Circuit, claim: Claim, seconds: float) -> tuple[str, str]:
    from graphc.checking.proof import prover

    leaves = {node.id: f"v{k}" for k, node in enumerate(circuit.leaves)}
    forms = expanded(circuit, claim.target, leaves)
    if forms is None or claim.expression is None:
        return "agrees", "too long to be proved"
    expressions, gradient = forms
    over_leaves = {name: expressions[node.id] for name, node in claim.nodes.items()}
    over_leaves.setdefault("pi", Symbol("pi"))
    claimed = exact_constants(substitute(claim.expression, over_leaves))
    return _worded(prover().prove(claimed, exact_constants(gradient), seconds))


def _worded(answer: str) -> tuple[str, str]:
    if answer == "equal":
        return "proved", ""
    if answer == "equal away from ties":
        return "proved", "away from ties; ties were checked at points"
    return "agrees", "the proof took too long" if answer == "timeout" else "no proof was found"


def _prove_entries(circuit: Circuit, claim: Claim, seconds: float) -> tuple[str, str]:
    """Prove every entry; where the graph has named sizes, for small ones, which is no proof for others."""
    if any(not leaf.is_float for leaf in circuit.leaves):
        return "agrees", "no proof is tried where labels choose"
    named = circuit.sizes
    if named:
        smaller = Circuit(
            circuit.given_root,
            upstream=circuit.given_upstream,
            sizes=circuit.given_sizes | {name: 2 for name in named if name not in circuit.given_sizes},
            conventions=circuit.conventions,
        )
        moved = transferred(claim, circuit, smaller)
        if moved is None:
            return "agrees", ""
        circuit, claim = smaller, moved
    entries = int(numpy.prod(circuit.shapes[claim.target.id], dtype=int))
    if entries > _MOST_ENTRIES or circuit.operations() > _MOST_OPERATIONS:
        return "agrees", "too long to be proved"
    try:
        pairs = _entries(circuit, claim)
    except CheckError as error:
        return "agrees", str(error)
    except (TypeError, OutsideDomain, ArithmeticError):
        return "agrees", "no proof was found"
    word, note = _prove_all(pairs, seconds)
    if word == "proved" and named:
        sizes = ", ".join(f"{name} = {k}" for name, k in sorted(circuit.sizes.items()))
        return "agrees", f"proved for {sizes}" + (f", {note}" if note else "")
    return word, note


def _entries(circuit: Circuit, claim: Claim) -> list[tuple[Any, Any]]:
    """Claim and gradient of every entry as expressions over the entries of leaves."""
    from graphc.checking.terms import Term, claim_terms, symbolic

    point: dict[str, Any] = {}
    for k, leaf in enumerate(circuit.leaves):
        shape = circuit.shapes[leaf.id]
        symbols = numpy.empty(shape, dtype=object)
        for number, index in enumerate(numpy.ndindex(shape)):
            symbols[index] = Term(Symbol(f"v{k}_{number}"))
        point[circuit.keys[leaf.id]] = symbols if shape else symbols[()]
    numbers = symbolic()
    state = circuit.state(point, "formulas")
    environment = {name: state.values[node.id] for name, node in claim.nodes.items()}
    environment |= {name: state.gradients[node.id] for name, node in claim.upstream.items()}
    environment.setdefault("pi", Term(Symbol("pi")))
    assert claim.expression is not None
    value = evaluate(claim.expression, environment, claim_terms(), numbers.constant)
    gradient = state.gradients[claim.target.id]
    shape = circuit.shapes[claim.target.id]
    claimed = numpy.empty(shape, dtype=object)
    claimed[...] = value
    correct = numpy.empty(shape, dtype=object)
    correct[...] = gradient
    pairs = zip(claimed.reshape(-1).tolist(), correct.reshape(-1).tolist(), strict=True)
    forms = ([exact_constants(numbers.number(side).expression) for side in pair] for pair in pairs)
    return [(claimed, correct) for claimed, correct in forms]


def _prove_all(pairs: list[tuple[Any, Any]], seconds: float) -> tuple[str, str]:
    from graphc.checking.proof import prover

    note = ""
    prover().ready()
    end = time.perf_counter() + seconds
    for claimed, correct in pairs:
        if claimed == correct:
            continue
        left = end - time.perf_counter()
        if left <= 0:
            return "agrees", "the proof took too long"
        word, found = _worded(prover().prove(claimed, correct, left))
        if word != "proved":
            return word, found
        note = note or found
    return "proved", note


def transferred(claim: Claim, circuit: Circuit, other: Circuit) -> Claim | None:
    """The same claim about the same graph with other sizes; None where some node has no counterpart."""
    counterpart: dict[int, Any] = {}
    for user, node in circuit.standing.items():
        counterpart[node.id] = other.standing.get(user)
    by_label = {node.label: node for node in other.nodes}
    for node in circuit.nodes:
        if counterpart.get(node.id) is None and node.name is not None:
            counterpart[node.id] = by_label.get(node.label)
    nodes = {name: counterpart.get(node.id) for name, node in claim.nodes.items()}
    upstream = {name: counterpart.get(node.id) for name, node in claim.upstream.items()}
    target = counterpart.get(claim.target.id)
    if target is None or None in nodes.values() or None in upstream.values():
        return None
    return replace(claim, target=target, nodes=nodes, upstream=upstream)
