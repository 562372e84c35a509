"""Layers, and the places where long wires pass through them.

A wire that passes through a layer has a place of its own there, so wires go around blocks by construction.

Source: layers: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", IEEE
Trans. Systems, Man, Cybernetics 11 (1981).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.drawing.blocks import Block, Link

__all__ = ["MANY_PLACES", "PASSING", "Grid", "Near", "grid_of", "layers"]

#: Places above which fewer sweeps serve: what is left to gain is no longer seen in a picture of metres.
MANY_PLACES = 20_000

#: Height of the place of a wire that passes through a layer, in points.
PASSING = 10.0

#: Neighbour, height at which the wire leaves it, height at which it enters.
Near = list[tuple[int, float, float]]


@dataclass(slots=True)
class Grid:
    """Blocks, and the places where long wires pass through a layer, by number; blocks come first.

    ``before[k]`` holds (neighbour, height at which the wire leaves it, height at which it enters ``k``),
    ``after[k]`` the same with the two ends swapped.
    """

    blocks: int
    layer: list[int]
    height: list[float]
    before: list[Near]
    after: list[Near]
    rows: list[list[int]]
    routes: list[list[int]]
    top: list[float]


def layers(blocks: Sequence[Block], links: Sequence[Link]) -> list[int]:
    """Longest path from the inputs; an input not bound to the first layer stands by its reader."""
    heads: list[list[int]] = [[] for _ in blocks]
    waiting = [0] * len(blocks)
    for link in links:
        heads[link.tail].append(link.head)
        waiting[link.head] += 1
    layer = [0] * len(blocks)
    ready = [k for k, count in enumerate(waiting) if count == 0]
    while ready:
        k = ready.pop()
        for head in heads[k]:
            layer[head] = max(layer[head], layer[k] + 1)
            waiting[head] -= 1
            if waiting[head] == 0:
                ready.append(head)
    _late(blocks, links, heads, layer)
    return layer


def _late(blocks: Sequence[Block], links: Sequence[Link], heads: list[list[int]], layer: list[int]) -> None:
    """Move blocks towards their readers where that shortens the wires."""
    tails: list[set[int]] = [set() for _ in blocks]
    for link in links:
        tails[link.head].add(link.tail)
    free = [not tails[k] and not block.first for k, block in enumerate(blocks)]
    for _ in range(2):
        for k in sorted(range(len(blocks)), key=lambda k: (-layer[k], k)):
            if not heads[k] or (blocks[k].first and not tails[k]):
                continue
            latest = min(layer[head] for head in heads[k]) - 1
            gain = latest - layer[k]
            for tail in tails[k]:
                if not free[tail]:  # a free input comes along
                    others = [layer[head] for head in heads[tail] if head != k]
                    gain -= max(0, latest - max([layer[k], *others]))
            if gain > 0 or free[k]:
                layer[k] = latest


def grid_of(blocks: Sequence[Block], links: Sequence[Link]) -> Grid:
    """Return blocks and passing wires by layers, not ordered yet."""
    layer = layers(blocks, links)
    height = [block.height for block in blocks]
    before: list[Near] = [[] for _ in blocks]
    after: list[Near] = [[] for _ in blocks]
    # one chain of passing places per tail: the wires of a fan-out share their way
    routes: list[list[int]] = []
    chains: dict[int, list[int]] = {}
    joined: set[tuple[int, int, float]] = set()
    for link in links:
        chain = chains.setdefault(link.tail, [])
        needed = layer[link.head] - layer[link.tail] - 1
        while len(chain) < needed:
            chain.append(len(layer))
            layer.append(layer[link.tail] + len(chain))
            height.append(PASSING)
            before.append([])
            after.append([])
        route = [link.tail, *chain[:needed], link.head]
        routes.append(route)
        for a, b in itertools.pairwise(route):
            exit_ = blocks[a].exit if a < len(blocks) else PASSING / 2
            entry = PASSING / 2
            if b < len(blocks):
                head = blocks[b]
                entry = head.entries[link.entry] if head.entries else head.height / 2
            if (a, b, entry) not in joined:
                joined.add((a, b, entry))
                before[b].append((a, exit_, entry))
                after[a].append((b, entry, exit_))
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for k, number in enumerate(layer):
        rows[number].append(k)
    return Grid(len(blocks), layer, height, before, after, rows, routes, [0.0] * len(layer))
