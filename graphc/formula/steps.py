"""Which statements of a recurrence must run step by step, and which are computed for all steps at once.

``h[t+1,n,k] = tanh(a[t,n,k])`` writes what ``a[t,n,k] = sum(h[t,n,m]*w[k,m], m)`` reads, so both must run together,
step after step. Everything that lies on no such cycle is computed for all steps at once, before or behind them: the
projection of the inputs, the outputs, and the gradient of every weight.

Source: the cycles are strongly connected components of "is read by", Tarjan, SIAM J. Comput. 1 (1972).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from graphc.formula.statement import Affine, Repeat, Statement, accesses

__all__ = ["assembled", "split"]


def split(
    statements: Sequence[Statement], axis: str, *, ahead: bool = True, ordered: bool = True
) -> list[tuple[bool, tuple[Statement, ...]]]:
    """Put statements in an order in which as few as possible run step by step.

    Parameters
    ----------
    statements : sequence of Statement
        What runs together for each value of ``axis``, in order.
    ahead : bool, default True
        Whether anything is computed for all steps before the first one: that takes memory for all steps.
    ordered : bool, default True
        Whether statements that write one tensor stay in their order; sums need not.

    Returns
    -------
    list of (bool, tuple of Statement)
        Whether they must run step by step, and which; in an order that computes what is read before it is read.

    Notes
    -----
    Where a statement slides a window over its operands, all stay together: schedules for windows know no steps.
    """
    if any(_slides(s, axis) for s in statements):
        stepped = [s for s in statements if any(a.name == axis for a in s.axes)]
        return [*((False, (s,)) for s in statements if s not in stepped), (True, tuple(stepped))]
    readers: dict[str, list[int]] = {}
    for k, s in enumerate(statements):
        for tensor in s.tensors():
            readers.setdefault(tensor, []).append(k)
    after = [sorted(set(readers.get(s.write.tensor, ()))) for s in statements]
    if ordered:
        writers: dict[str, int] = {}
        for k, s in enumerate(statements):
            if s.write.tensor in writers and s.accumulate:
                after[writers[s.write.tensor]] = sorted({*after[writers[s.write.tensor]], k})
            writers[s.write.tensor] = k
    component = _components(after)
    members: dict[int, list[int]] = {}
    for k, number in enumerate(component):
        members.setdefault(number, []).append(k)
    before: dict[int, set[int]] = {number: set() for number in members}
    for k, following in enumerate(after):
        for other in following:
            if component[other] != component[k]:
                before[component[other]].add(component[k])
    waiting = [(own[0], number) for number, own in members.items() if not before[number]]
    heapq.heapify(waiting)
    found: list[tuple[bool, tuple[Statement, ...]]] = []
    while waiting:
        _, number = heapq.heappop(waiting)
        own = members[number]
        cycle = len(own) > 1 or own[0] in after[own[0]]
        found.append((cycle, tuple(statements[k] for k in own)))
        for other, needed in before.items():
            if number in needed:
                needed.discard(number)
                if not needed:
                    heapq.heappush(waiting, (members[other][0], other))
    last = max((k for k, (cycle, _) in enumerate(found) if cycle), default=-1)
    if ahead or last < 0:
        return found
    inside = {id(s) for _, group in found[: last + 1] for s in group if any(a.name == axis for a in s.axes)}
    fixed = [group for group in found[: last + 1] if not any(id(s) in inside for s in group[1])]
    return [*fixed, (True, tuple(s for s in statements if id(s) in inside)), *found[last + 1 :]]


def _slides(s: Statement, axis: str) -> bool:
    """Whether an index is more than one axis and an offset."""
    own = {a.name for a in s.axes} - {axis}
    for access in accesses(s):
        for item in access.index:
            if isinstance(item, Affine) and (
                len(own & set(item.names())) > 1 or any(abs(item.coefficient(a)) > 1 for a in own)
            ):
                return not access.flat
    return bool(s.lets)


def _components(after: Sequence[Sequence[int]]) -> list[int]:
    """Number of the strongly connected component of each vertex."""
    count = len(after)
    index, low = [-1] * count, [0] * count
    component, stack = [-1] * count, []
    found = number = 0
    for root in range(count):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            vertex, position = work.pop()
            if position == 0:
                index[vertex] = low[vertex] = found
                found += 1
                stack.append(vertex)
            for place in range(position, len(after[vertex])):
                other = after[vertex][place]
                if index[other] < 0:
                    work += [(vertex, place + 1), (other, 0)]
                    break
                if component[other] < 0:
                    low[vertex] = min(low[vertex], low[other])
            else:
                if low[vertex] == index[vertex]:
                    while component[vertex] < 0:
                        component[stack.pop()] = number
                    number += 1
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[vertex])
    return component


def assembled(
    before: Iterable[Statement],
    groups: Iterable[tuple[bool, tuple[Statement, ...]]],
    after: Iterable[Statement],
    axis: str,
    *,
    backward: bool,
) -> tuple[tuple[Statement, ...], tuple[Repeat, ...]]:
    """Statements and repeats of a formula from what lies before, inside and behind its steps."""
    statements = list(before)
    repeats = []
    for cycle, members in groups:
        if cycle:
            repeats.append(Repeat(len(statements), len(statements) + len(members), axis, backward))
        statements += members
    if not repeats:  # nothing goes round: the axis is noted all the same
        repeats.append(Repeat(len(statements), len(statements), axis, backward))
    return (*statements, *after), tuple(repeats)
