"""The numeric check passes the gradients of every gate in the registry, at every sample."""

from __future__ import annotations

import pytest

import graphc
from graphc.graph import registry
from tests.gates.contract import apply, weighted

SAMPLES = [
    (name, k)
    for name in registry.names()
    if registry.gate(name).differentiable
    for k in range(len(registry.gate(name).samples))
]


def check_sample(name: str, k: int) -> int:
    case = apply(registry.gate(name), registry.gate(name).samples[k])
    if not case.floats:
        return 0
    report = graphc.check_gradients(weighted(case), case.values, wrt=list(case.floats), samples=3)
    assert report.ok, f"{name}, sample {k}\n{report}"
    return len(report)


def test_gradients_of_a_tenth_of_all_samples_of_gates_pass():
    assert sum(check_sample(name, k) for name, k in SAMPLES[::10]) >= 40


@pytest.mark.slow
def test_gradients_of_all_samples_of_gates_pass():
    assert sum(check_sample(name, k) for name, k in SAMPLES) >= 400
