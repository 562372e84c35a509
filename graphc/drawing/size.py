"""How long a picture will take, told before anything is laid out.

Counted, not tried: the blocks, and the places of the wires that pass through a layer. The constants were measured on
one core of a server with circuits of 300 to 1,350 blocks and hold within a factor of about two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BUDGET", "HARD_LIMIT", "Estimate", "estimate"]

#: Seconds that a picture may take before it is folded (further).
BUDGET = 5.0
#: Seconds above which a picture that may not be folded is refused.
HARD_LIMIT = 60.0

_SECONDS_A_BLOCK = 1.0e-3  # reading values, measuring texts, writing
_SECONDS_A_PLACE = 4.5e-5  # layers, order, heights


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a picture will cost.

    Attributes
    ----------
    blocks, links : int
    places : int
        Blocks, and places where a long wire passes through a layer.
    seconds : float
        On one core.
    """

    blocks: int
    links: int
    places: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.blocks:,} blocks and {self.links:,} wires, about {self.seconds:,.0f} s"


def estimate(blocks: int, links: Sequence[tuple[int, int]]) -> Estimate:
    """Estimate the time for a picture of blocks in layers.

    Parameters
    ----------
    blocks : int
    links : sequence of (int, int)
        Tail and head.
    """
    heads: list[list[int]] = [[] for _ in range(blocks)]
    waiting = [0] * blocks
    for tail, head in links:
        heads[tail].append(head)
        waiting[head] += 1
    fed = [count > 0 for count in waiting]
    layer = [0] * blocks
    ready = [k for k, count in enumerate(waiting) if count == 0]
    while ready:
        tail = ready.pop()
        for head in heads[tail]:
            layer[head] = max(layer[head], layer[tail] + 1)
            waiting[head] -= 1
            if waiting[head] == 0:
                ready.append(head)
    places = blocks
    for tail in range(blocks):
        if heads[tail]:
            ends = [layer[head] for head in heads[tail]]
            begin = layer[tail] if fed[tail] else min(ends) - 1  # an input stands by its first reader
            places += max(ends) - begin - 1
    seconds = _SECONDS_A_BLOCK * blocks + _SECONDS_A_PLACE * places
    return Estimate(blocks, len(links), places, seconds)
