"""Relations of the claim as a whole to the right gradient: shape, sign, constants, the gradient of another node."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.diagnosis.candidates import Candidate
from graphc.checking.diagnosis.evidence import Evidence, flat, same
from graphc.checking.diagnosis.explanation import Explanation, called, joined, named_constant
from graphc.graph.node import Node

__all__ = ["constants", "gradients_of_others", "rearranged", "shape_mistake"]

Sample = tuple[State, Any]


def _all_same(samples: Sequence[Sample], claimed: Callable[[Any], Any], correct: Callable[[State], Any],
              digits: int) -> bool:  # fmt: skip
    return all(same(claimed(value), correct(state), digits) for state, value in samples[:3])


def constant_ratio(claimed: Sequence[Any], correct: Sequence[Any], digits: int) -> Any:
    """The constant that all elements of all claims are of the right values; None if there is none."""
    import mpmath

    ratio, seen = None, 0
    close = mpmath.mpf(10) ** -digits
    for claim, right in zip(claimed, correct, strict=True):
        first, second = (numpy.asarray(v, dtype=object).reshape(-1) for v in (claim, right))
        for c, r in zip(first, second, strict=True):
            if r == 0 or c == 0:
                if r == c:
                    continue
                return None
            if ratio is None:
                ratio = mpmath.mpf(c) / r
            elif abs(mpmath.mpf(c) / r - ratio) > close * abs(ratio):
                return None
        seen += any(v != 0 for v in second)
    return ratio if seen > 1 or len(correct) == 1 else None  # one point makes no constant


def _constant_difference(claimed: Sequence[Any], correct: Sequence[Any], digits: int) -> Any:
    """The constant that the claims exceed the right values by; None if there is none, or the right values vanish."""
    import mpmath

    difference, telling = None, 0
    close = mpmath.mpf(10) ** -digits
    for claim, right in zip(claimed, correct, strict=True):
        first, second = (numpy.asarray(v, dtype=object).reshape(-1) for v in (claim, right))
        for c, r in zip(first, second, strict=True):
            if difference is None:
                difference = mpmath.mpf(c) - r
            elif abs(mpmath.mpf(c) - r - difference) > close * max(abs(c), abs(r), abs(difference)):
                return None
            telling += abs(r) > abs(difference) / 10**6
    return difference if telling > 1 else None


def constants(evidence: Evidence, sizes: Mapping[str, int]) -> Iterator[Explanation]:
    """The sign, a constant factor or a constant term."""
    import mpmath

    claimed = [value for _, value in evidence.chosen]
    correct = [state.gradients[evidence.target.id] for state, _ in evidence.chosen]
    nodes = (evidence.target,)
    ratio = constant_ratio(claimed, correct, evidence.digits)
    if ratio is not None:
        if abs(ratio - 1) < mpmath.mpf(10) ** -evidence.digits:
            return  # right at these points
        if abs(ratio + 1) < mpmath.mpf(10) ** -evidence.digits:
            yield Explanation("sign", "the sign is flipped", (), nodes, True, 0.5)
            return
        words = named_constant([ratio], dict(sizes), min(evidence.digits, 25))
        text = f"the claim is {words or mpmath.nstr(ratio, 6)} times the correct gradient"
        if words is not None and "(here " in words:
            name = words.partition("(here ")[2].rstrip(")")
            text += f": a factor 1/{name} is missing" if abs(ratio) > 1 else f": the factor {name} is one too many"
        yield Explanation("constant factor", text, (), nodes, True, 0.95 if words else 2.9)
        return
    term = _constant_difference(claimed, correct, evidence.digits)
    if term is not None:
        words = named_constant([term], {}, min(evidence.digits, 25)) or mpmath.nstr(term, 6)
        text = f"the claim is the correct gradient plus the constant {words}"
        yield Explanation("constant term", text, (), nodes, True, 2.0)


def gradients_of_others(evidence: Evidence, names: Sequence[str]) -> Iterator[Explanation]:
    """The gradient of another node, with the sign right or wrong."""
    circuit, target = evidence.circuit, evidence.target
    for sign, words, rank in ((1, "", 1.0), (-1, ", with the sign flipped", 2.5)):
        found = []
        for node in circuit.nodes:
            if node is target or node is circuit.root or node.name not in names or node.kind == "constant":
                continue
            if node.id not in evidence.points[0].state.gradients:
                continue
            if any(
                numpy.shape(p.state.gradients[node.id]) != evidence.shape
                or not numpy.allclose(sign * p.claim, flat(p.state.gradients[node.id]), 1e-8, 0)
                for p in evidence.points
            ):
                continue
            key = node.id
            if evidence.confirmed(lambda state, key=key, sign=sign: sign * state.gradients[key]):
                found.append(node)
        if found:
            text = f"this is the gradient with respect to {joined(called(n) for n in found)}{words}"
            yield Explanation("another gradient", text, (), tuple(found), True, rank)


def rearranged(evidence: Evidence) -> Iterator[Candidate]:
    """The right numbers in the wrong places: the transpose of a square gradient."""
    shape = evidence.shape
    if len(shape) == 2 and shape[0] == shape[1]:
        key = evidence.target.id
        moves = [
            float((p.state.gradients[key].T - p.state.gradients[key]).reshape(-1) @ p.direction)
            for p in evidence.points
        ]
        if evidence.agrees(moves):
            name = called(evidence.target)
            text = f"the gradient of {name} is transposed: it has the layout of {name}"
            yield Candidate(
                1.0, "transposed", text, lambda s: numpy.asarray(s.gradients[key]).T, (), (evidence.target,)
            )


# ---- shape -------------------------------------------------------------------------------------------


def shape_mistake(
    circuit: Circuit, target: Node, samples: Sequence[Sample], sizes: Mapping[str, int]
) -> list[Explanation]:
    """What is wrong with a claim of the wrong shape: a missing sum, a sum too many, a transpose."""
    first = numpy.asarray(samples[0][1])
    digits = 25 if first.dtype == object else 9
    claim, right = first.shape, numpy.shape(samples[0][0].gradients[target.id])
    label, key = called(target), target.id
    of = f"the claim has shape {_shape(claim)}, {label} has shape {_shape(right)}"
    found: list[Explanation] = []

    def tell(kind: str, text: str, rank: float, change: Callable[[Any], Any], other: Callable[[Any], Any]) -> None:
        claimed = [change(numpy.asarray(value)) for _, value in samples[:3]]
        correct = [other(numpy.asarray(state.gradients[key])) for state, _ in samples[:3]]
        if any(numpy.shape(c) != numpy.shape(r) for c, r in zip(claimed, correct, strict=True)):
            return
        ratio = constant_ratio(claimed, correct, digits)
        if ratio is None:
            return
        more = ""
        if abs(ratio - 1) > 10.0 ** (3 - digits):
            words = named_constant([ratio], dict(sizes), min(digits, 25))
            if words is None:
                return
            more, rank = (
                f"; besides it is {words} times too large" if abs(ratio) > 1 else f"; besides a factor {words}",
                rank + 1,
            )
            if ratio == -1:
                more = "; besides, the sign is flipped"
        found.append(Explanation(kind, f"{text}: {of}{more}", (), (target,), True, rank))

    def same_(value: Any) -> Any:
        return value

    def axis_words(axes: tuple[int, ...]) -> str:
        return joined(f"axis {axis}" for axis in axes)

    def extent_words(axes: tuple[int, ...], extents: tuple[int, ...]) -> str:
        named = [name for axis in axes for name, extent in sizes.items() if extent == extents[axis]]
        return f", of extent {joined(named)}" if len(named) == len(axes) else ""

    for count in range(1, len(claim) + 1):
        for axes in itertools.combinations(range(len(claim)), count):
            if tuple(e for k, e in enumerate(claim) if k not in axes) == right:
                text = f"the sum over {axis_words(axes)} is missing{extent_words(axes, claim)}"
                tell("missing sum", text, 1.0, lambda v, axes=axes: v.sum(axis=axes), same_)
    if claim == right[::-1] and len(right) > 1:
        text = "the gradient is transposed"
        tell("transposed", text, 1.0, lambda v: v.T, same_)
    for count in range(1, len(right) + 1):
        for axes in itertools.combinations(range(len(right)), count):
            if tuple(e for k, e in enumerate(right) if k not in axes) == claim:
                text = f"the claim is summed over {axis_words(axes)}, along which {label} extends"
                tell("extra sum", text, 1.0, same_, lambda v, axes=axes: v.sum(axis=axes))
    found += _other_axes(circuit, target, samples, claim, digits, of)
    if first.size == int(numpy.prod(right)):
        tell(
            "shape", "the numbers are right, their shape is not", 1.2, lambda v: v.reshape(-1), lambda v: v.reshape(-1)
        )
    return found


def _other_axes(
    circuit: Circuit, target: Node, samples: Sequence[Sample], claim: tuple[int, ...], digits: int, of: str
) -> Iterator[Explanation]:
    """A broadcast operand's gradient summed over the wrong axes."""
    for position, edge in enumerate(circuit.edges):
        full = circuit.shapes[edge.target.id]
        if edge.source is not target or edge.slope is None or len(full) <= len(claim):
            continue
        for axes in itertools.combinations(range(len(full)), len(full) - len(claim)):
            if tuple(e for k, e in enumerate(full) if k not in axes) != claim:
                continue
            if all(
                same(
                    numpy.asarray(s.gradients[edge.target.id] * circuit.local_factor(position, s)).sum(axis=axes),
                    value,
                    digits,
                )
                for s, value in samples[:3]
            ):
                right = joined(str(k) for k in range(len(full) - len(circuit.shapes[target.id])))
                text = f"the sum runs over axis {joined(map(str, axes))} and belongs over axis {right}: {of}"
                yield Explanation("wrong axis", text, ((target, edge.target),), (), True, 1.0)


def _shape(shape: tuple[int, ...]) -> str:
    return "()" if not shape else "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
