"""Trials of a diagnosis: mutants of an exercise with their values at some points, and the judge of what is said."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy

from graphc.checking.arrays import claim_functions
from graphc.checking.circuit import Circuit, State
from graphc.checking.diagnosis import Diagnosis, diagnose
from graphc.checking.precise import OutsideDomain, constant
from graphc.formula.expression import Expression, evaluate
from graphc.graph.node import Node
from tests.checking.mutation_graphs import Exercise, plain
from tests.checking.mutations import Mutant, mutants

ACTIVATIONS = ("tanh", "sigmoid", "relu", "exp", "sqrt", "softplus")

#: Kinds that speak of the whole gradient that arrives, and so of no single name.
WITHOUT_WITNESS = {"another gradient", "missing upstream", "extra upstream"}


def equal(a: Any, b: Any, digits: int = 30) -> bool:
    first, second = numpy.asarray(a, object).reshape(-1), numpy.asarray(b, object).reshape(-1)
    largest = max((abs(x) for x in (*first, *second)), default=0)
    return numpy.shape(a) == numpy.shape(b) and all(
        abs(x - y) <= mpmath.mpf(10) ** -digits * largest for x, y in zip(first, second, strict=True)
    )


class Trials:
    """An exercise with its circuit and six random points, sampled here and not by the checker."""

    def __init__(self, exercise: Exercise, seed: int = 1) -> None:
        self.exercise = exercise
        self.circuit = Circuit(exercise.build())
        self.nodes: dict[str, Node] = {}
        for node in self.circuit.nodes:
            self.nodes.setdefault(node.label, node)
        self.named = [n for n in self.circuit.nodes if n.name and n.is_float and n is not self.circuit.root]
        chance = random.Random(seed)
        self.states: list[State] = []
        while len(self.states) < 6:
            try:
                with mpmath.workdps(60):
                    self.states.append(self.circuit.state(self.point(chance)))
            except OutsideDomain:
                continue

    def point(self, chance: random.Random) -> dict[str, Any]:
        def number() -> Fraction:
            return Fraction(chance.randrange(10**39, 10**40), 4 * 10**39) * chance.choice((-1, 1))

        found: dict[str, Any] = {}
        for leaf in self.circuit.leaves:
            shape = self.circuit.shapes[leaf.id]
            key, count = self.circuit.keys[leaf.id], int(numpy.prod(shape, dtype=int))
            if not leaf.is_float:
                bound = self.circuit.bounds.get(leaf.id, 2)
                found[key] = numpy.array([chance.randrange(bound) for _ in range(count)]).reshape(shape)
            else:
                found[key] = numpy.array([number() for _ in range(count)], object).reshape(shape) if shape else number()
        return found

    def values(self, expression: Expression) -> list[Any] | None:
        """Values of an answer at the points; None where it has none."""
        found = []
        with mpmath.workdps(60):
            for state in self.states:
                environment = {name: state.values[node.id] for name, node in self.nodes.items()}
                environment["f"] = state.values[self.circuit.root.id]
                try:
                    value = evaluate(expression, environment, claim_functions("exact"), constant)
                except (OutsideDomain, ValueError, OverflowError, ZeroDivisionError, KeyError, IndexError):
                    return None
                if not all(mpmath.isfinite(x) for x in numpy.asarray(value, object).reshape(-1)):
                    return None
                found.append(value)
        return found

    def right(self, target: str) -> list[Any]:
        return [state.gradients[self.nodes[target].id] for state in self.states]

    def arriving(self, tree: Expression) -> bool:
        """Whether a tree is the gradient of some node."""
        values = self.values(plain(tree))
        return values is not None and any(
            all(equal(v, s.gradients[n.id]) for v, s in zip(values, self.states, strict=True))
            for n in self.circuit.nodes
            if n.is_float
        )

    def shape(self, tree: Expression) -> tuple[int, ...] | None:
        values = self.values(plain(tree))
        return None if values is None else numpy.shape(values[0])

    def mutants(self) -> Iterator[tuple[Mutant, list[Any]]]:
        """Wrong answers that differ from the right one and from each other; of equal ones a known kind stays."""
        shapes = self.circuit.shapes
        alike = {
            n.name: [m.name for m in self.named if m is not n and shapes[m.id] == shapes[n.id]] for n in self.named
        }
        around: dict[str, str] = {}
        for node in self.named:
            if node.gate in ACTIVATIONS and node.operands[0].name is not None:
                around[node.name], around[node.operands[0].name] = node.operands[0].name, node.name
        made = list(mutants(self.exercise, alike, around, self.arriving, self.shape))
        seen: set[Any] = set()
        for mutant in sorted(made, key=lambda m: not m.expected):
            values = self.values(mutant.expression)
            if values is None:
                continue
            right = self.right(mutant.target)
            fits = numpy.shape(values[0]) == numpy.shape(right[0])
            if not fits and not {"missing sum", "transposed"} & mutant.expected:
                continue
            with mpmath.workdps(60):
                if fits and all(equal(v, r) for v, r in zip(values, right, strict=True)):
                    continue
                numbers = (x for v in values for x in numpy.asarray(v, object).reshape(-1))
                key = (mutant.target, *(mpmath.nstr(x, 15) for x in numbers))
            if key not in seen:
                seen.add(key)
                yield mutant, values

    def diagnosis(self, mutant: Mutant, values: list[Any]) -> tuple[Diagnosis, float]:
        """What is said about a mutant, and the time it took."""
        start = time.perf_counter()
        names = [n.name for n in self.named if n.name is not None]
        found = diagnose(self.circuit, self.nodes[mutant.target], list(zip(self.states, values, strict=True)), names)
        return found, time.perf_counter() - start

    def named_rightly(self, mutant: Mutant, found: Diagnosis) -> bool:
        """Whether the sentence names what was done: by its kind, and close to the names that were touched."""
        if not mutant.expected:
            return not found
        if not found:
            return False
        spoken = [e for e in found.explanations if e.rank == found.explanations[0].rank and e.kind in mutant.expected]
        if not mutant.witness or any(e.kind in WITHOUT_WITNESS for e in spoken):
            return bool(spoken)
        return any(self.near(e) & mutant.witness for e in spoken)

    def near(self, explanation: Any) -> set[str]:
        """Names of the nodes that an explanation marks, of what they read and of what reads them."""
        marked = {n for edge in explanation.edges for n in edge} | set(explanation.nodes)
        marked |= {o for n in marked for o in n.operands}
        marked |= {n for n in self.circuit.nodes if any(o in marked for o in n.operands)}
        marked |= {o for n in marked for o in n.operands}
        names = {n.label for n in marked}
        return names | {"f"} if self.circuit.root in marked else names
