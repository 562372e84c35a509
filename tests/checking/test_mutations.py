"""Single mistakes made in the trees of right answers are named; right answers in other forms are accepted."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterator

import pytest

from graphc.checking.claims import Claim
from graphc.checking.points import judge
from graphc.formula.expression import Expression, symbols
from tests.checking.held_out_graphs import HELD_OUT
from tests.checking.mutation_graphs import EXERCISES, plain
from tests.checking.mutation_trials import Trials
from tests.checking.rewriting import rewritten


class Score:
    """Counts of mutants by kind and of those named rightly."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.right: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.missed: list[str] = []

    def run(self, trials: Trials, share: float, chance: random.Random) -> None:
        for mutant, values in trials.mutants():
            if chance.random() > share:
                continue
            found, seconds = trials.diagnosis(mutant, values)
            kind = "known" if mutant.expected else "unknown"
            self.made[kind] += 1
            self.seconds.append(seconds)
            if trials.named_rightly(mutant, found):
                self.right[kind] += 1
            else:
                self.missed.append(f"{trials.exercise.name}, d/d{mutant.target}, {mutant.done}: {found}")

    def __str__(self) -> str:
        seconds = sorted(self.seconds)
        return (
            f"{self.right['known']} of {self.made['known']} known mistakes named, "
            f"{self.right['unknown']} of {self.made['unknown']} others left without a name; "
            f"median {statistics.median(seconds) * 1e3:.0f} ms, 95th percentile "
            f"{seconds[int(0.95 * len(seconds))] * 1e3:.0f} ms, largest {seconds[-1] * 1e3:.0f} ms"
        )


def test_sample_of_mistakes_is_named() -> None:
    chance = random.Random(3)
    score = Score()
    for exercise in chance.sample(EXERCISES, 14):
        score.run(Trials(exercise), 0.12, chance)
    print(score)
    assert score.made["known"] >= 60
    assert score.made["unknown"] >= 15
    assert score.right["known"] >= 0.9 * score.made["known"], score.missed
    assert score.right["unknown"] >= 0.9 * score.made["unknown"], score.missed


@pytest.mark.slow
def test_mistakes_are_named() -> None:
    chance = random.Random(0)
    score = Score()
    for exercise in EXERCISES:
        score.run(Trials(exercise), 1.0, chance)
    print(score)
    total = score.made["known"] + score.made["unknown"]
    assert len(EXERCISES) >= 25
    assert total >= 1000
    assert score.made["unknown"] >= 0.2 * total
    assert score.right["known"] + score.right["unknown"] >= 0.9 * total
    assert score.right["known"] >= 0.9 * score.made["known"]
    assert statistics.median(score.seconds) <= 0.3


@pytest.mark.slow
def test_mistakes_in_further_graphs_are_named() -> None:
    chance = random.Random(0)
    score = Score()
    for exercise in HELD_OUT:
        score.run(Trials(exercise), 1.0, chance)
    print(score)
    total = score.made["known"] + score.made["unknown"]
    assert total >= 500
    assert score.right["known"] >= 0.9 * score.made["known"]
    assert score.right["unknown"] >= 0.9 * score.made["unknown"]


def forms(trials: Trials, chance: random.Random, count: int) -> Iterator[tuple[str, Expression]]:
    for target, tree in trials.exercise.trees().items():
        yield target, plain(tree)
        for _ in range(count):
            yield target, rewritten(plain(tree), chance, trials.shape)


def accused(trials: Trials, chance: random.Random, count: int) -> tuple[int, list[str]]:
    claims = []
    for target, expression in forms(trials, chance, count):
        names = [name for name in symbols(expression) if name in trials.nodes or name == "f"]
        nodes = {name: trials.nodes.get(name, trials.circuit.root) for name in names}
        claims.append(Claim(trials.nodes[target], str(target), expression, None, nodes))
    verdicts = judge(trials.circuit, claims)
    return len(claims), [
        f"{trials.exercise.name}: {c.target.label}" for c, v in zip(claims, verdicts, strict=True) if v.wrong
    ]


def test_right_answers_in_other_forms_are_not_accused() -> None:
    chance = random.Random(5)
    total = 0
    for exercise in chance.sample(EXERCISES, 8):
        count, wrong = accused(Trials(exercise), chance, 2)
        total += count
        assert not wrong
    print(f"{total} right answers, none accused")
    assert total >= 60


@pytest.mark.slow
def test_no_right_answer_is_accused() -> None:
    chance = random.Random(6)
    total = 0
    for exercise in (*EXERCISES, *HELD_OUT):
        count, wrong = accused(Trials(exercise), chance, 6)
        total += count
        assert not wrong
    print(f"{total} right answers, none accused")
    assert total >= 800
