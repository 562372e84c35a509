"""Random networks of arrays: the gradient of the reference is never accused, and one wrong entry is always found."""

from __future__ import annotations

import random

import numpy
import pytest

import graphc

ONE = ("relu", "tanh", "abs", "sigmoid", "softmax")
WITH = ("dense", "scaled", "shifted", "batch", "layer")
OTHER = ("tie", "centred", "half")


def network(draw: random.Random) -> graphc.Node:
    rows = draw.choice(["N", 3])
    node = graphc.input("x", (rows, draw.choice([2, 3])))
    for k in range(draw.randint(2, 6)):
        width = node.shape[-1]
        kind = draw.choice([*ONE, *WITH, *OTHER])
        if kind in ONE:
            node = getattr(graphc, kind)(node)
        elif kind in WITH:
            w = graphc.parameter(f"w{k}", (width, draw.choice([2, 3])) if kind == "dense" else (width,))
            b = graphc.parameter(f"b{k}", (width,)) if kind in ("batch", "layer") else None
            node = {
                "dense": lambda v, w=w: v @ w,
                "scaled": lambda v, w=w: v * w,
                "shifted": lambda v, w=w: v + w,
                "batch": lambda v, w=w, b=b: graphc.batch_norm(v, w, b),
                "layer": lambda v, w=w, b=b: graphc.layer_norm(v, w, b),
            }[kind](node)
        else:
            node = {
                "tie": lambda v: graphc.max(v, v * 0.5),
                "centred": lambda v: v - graphc.mean(v, 0),
                "half": lambda v: v * 0.5,
            }[kind](node)
    return graphc.sum(node * graphc.input("G", node.shape)).named("L")


def reference(back, target, slip: float):
    """A Python function that asks the float64 reference, and gets the last entry a little wrong."""

    def claim(**values):
        leaves = {n.name: values[n.name] for n in back.nodes if n.application is None and n.name in values}
        gradient = back.at(leaves).grad(target).copy()
        gradient[(-1,) * gradient.ndim] *= slip
        return gradient

    return claim


def last_entry(back, target) -> float:
    """The entry that a slip changes, at some point."""
    draw = numpy.random.default_rng(2)
    rows = 5
    leaves = {
        n.name: draw.standard_normal([k if isinstance(k, int) else rows for k in n.shape])
        for n in back.nodes
        if n.application is None and n.kind != "constant"
    }
    return float(back.at(leaves).grad(target)[(-1,) * len(target.shape)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_reference_is_never_accused_and_one_percent_is_found(seed: int) -> None:
    draw = random.Random(f"networks {seed}")
    found = 0
    for _ in range(5):
        root = network(draw)
        back = graphc.backward(root)
        for target in back.wrt:
            right = graphc.check(root, {target: reference(back, target, 1.0)}, proof_seconds=0)[target]
            assert right.verdict in ("agrees", "undecided"), str(right)
            if abs(last_entry(back, target)) > 1e-6:
                wrong = graphc.check(root, {target: reference(back, target, 1.01)}, proof_seconds=0)[target]
                assert wrong.verdict in ("differs", "undecided"), str(wrong)
                found += wrong.verdict == "differs"
            named = graphc.check(root, {target: "12345"}, proof_seconds=0)[target]
            if named.correct is not None:  # what is printed as right is right
                assert graphc.check(root, {target: named.correct}, proof_seconds=0).ok, named.correct
    assert found > 5
