"""Right gradients pass on random networks full of exact ties, and an error of 1 % in any single term is caught."""

from __future__ import annotations

import importlib

import numpy
import pytest

import graphc
from graphc.graph import registry
from tests.checking.numeric_networks import random_network

#: The module, not the function of the same name.
sweep = importlib.import_module("graphc.gradients.backward")


def assert_right(seed: int) -> bool:
    loss, data = random_network(seed)
    report = graphc.check_gradients(loss, data)
    assert report.ok, f"seed {seed}\n{report}"
    return any("exact ties" in note for note in report.notes)


def test_right_gradients_pass_on_networks_with_exact_ties():
    tied = sum(assert_right(seed) for seed in range(30))
    assert tied >= 18


@pytest.mark.slow
def test_right_gradients_pass_on_1000_networks_with_exact_ties():
    tied = sum(assert_right(seed) for seed in range(1000))
    assert tied >= 650


class Spoilt:
    """Multiplies what flows back along one edge, counted from the loss."""

    def __init__(self, edge: int, factor: float = 1.01) -> None:
        self.edge, self.factor, self.count = edge, factor, 0
        self.derived = sweep.derived

    def __call__(self, formula, operands, sizes, site, dtype):
        found = self.derived(formula, operands, sizes, site, dtype)
        self.count += 1
        return (registry.call("mul", found[0], self.factor), *found[1:]) if self.count - 1 == self.edge else found


def gradients(loss, data):
    back = graphc.backward(loss)
    run = back.at(data)
    return {leaf.label: run.grad(leaf) for leaf in back.wrt}


def spoil_edges(seed: int, most: int, monkeypatch) -> tuple[int, int]:
    """Spoil edges of a network one by one: how many errors could be seen, and how many were."""
    loss, data = random_network(seed)
    if any(node.name == "drop.key" for node in graphc.backward(loss).nodes):
        data["drop.key"] = numpy.array([5, 1])
    counting = Spoilt(-1)
    monkeypatch.setattr(sweep, "derived", counting)
    clean = gradients(loss, data)
    edges = counting.count
    size = max(float(numpy.linalg.norm(g)) for g in clean.values())
    visible = caught = 0
    for edge in numpy.random.default_rng(seed).permutation(edges)[:most]:
        monkeypatch.setattr(sweep, "derived", Spoilt(int(edge)))
        spoilt = gradients(loss, data)
        effect = max(
            float(numpy.linalg.norm(spoilt[name] - clean[name]))
            / max(float(numpy.linalg.norm(clean[name])), 1e-6 * size, 1e-30)
            for name in clean
        )
        if effect < 1e-6:  # a dead unit, or a term that is 0: the gradients are the same
            continue
        monkeypatch.setattr(sweep, "derived", Spoilt(int(edge)))
        report = graphc.check_gradients(loss, data)
        visible += 1
        caught += report.exit_code == 1
    monkeypatch.undo()
    return visible, caught


def test_an_error_of_one_percent_in_any_term_is_caught(monkeypatch):
    counts = [spoil_edges(seed, 2, monkeypatch) for seed in range(8)]
    visible, caught = (sum(column) for column in zip(*counts, strict=True))
    assert visible >= 10
    assert caught == visible


@pytest.mark.slow
def test_an_error_of_one_percent_in_any_term_of_200_networks_is_caught(monkeypatch):
    counts = [spoil_edges(seed, 4, monkeypatch) for seed in range(200)]
    visible, caught = (sum(column) for column in zip(*counts, strict=True))
    assert visible >= 600
    assert caught == visible
