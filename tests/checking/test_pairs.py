"""Labelled pairs of graph and claim: no right claim is refused, no wrong one accepted, verdicts come at once."""

from __future__ import annotations

import time

import pytest

import graphc
from tests.checking import pairs_arrays, pairs_networks, pairs_scalars, test_verdicts

EARLIER = [
    (*pair, right) for pairs, right in ((test_verdicts.RIGHT, True), (test_verdicts.WRONG, False)) for pair in pairs
]

FAMILIES = {
    "scalar": [*pairs_scalars.SCALARS, *EARLIER],
    "matrix": pairs_arrays.MATRIX,
    "softmax": pairs_arrays.SOFTMAX,
    "norm": pairs_arrays.NORMS,
    "attention": pairs_arrays.ATTENTION,
    "recurrent": pairs_networks.RECURRENT,
    "cell": pairs_networks.CELLS,
    "image": pairs_networks.IMAGES,
}

#: Every so many pairs of a family run by default.
EACH = 11


def label(family, position):
    build, target, claim, right = FAMILIES[family][position]
    text = claim if isinstance(claim, str) else getattr(claim, "__name__", repr(claim))
    return f"{family}-{build.__name__}-{target}-{text[:40]}-{'right' if right else 'wrong'}"


def seconds_of(family, position):
    """Time of a verdict, which must be that of the label."""
    build, target, claim, right = FAMILIES[family][position]
    root = build()
    start = time.perf_counter()
    finding = graphc.check(root, {target: claim}, proof_seconds=0)[target]
    seconds = time.perf_counter() - start
    assert finding.verdict == ("agrees" if right else "differs"), f"{label(family, position)}: {finding}"
    if not right:
        assert finding.counterexample is not None or finding.note, label(family, position)
    return seconds


SOME = [(family, k) for family, pairs in FAMILIES.items() for k in range(0, len(pairs), EACH)]


@pytest.mark.parametrize(("family", "position"), SOME, ids=str)
def test_some_pairs(family: str, position: int) -> None:
    seconds_of(family, position)


@pytest.mark.slow
def test_all_pairs_and_their_time() -> None:
    seconds, wrong = [], []
    for family, pairs in FAMILIES.items():
        for position in range(len(pairs)):
            try:
                seconds.append(seconds_of(family, position))
            except (AssertionError, graphc.CheckError) as error:
                wrong.append(f"{label(family, position)}: {error}")
    seconds.sort()
    count = sum(map(len, FAMILIES.values()))
    print(
        f"{count} pairs ({', '.join(f'{len(p)} {f}' for f, p in FAMILIES.items())}), {len(wrong)} wrong verdicts; "
        f"median {seconds[len(seconds) // 2]:.3f} s, 95th percentile {seconds[int(0.95 * len(seconds))]:.3f} s, "
        f"largest {seconds[-1]:.3f} s"
    )
    assert not wrong, "\n".join(wrong)
    assert count >= 300
    assert seconds[-1] < 2
