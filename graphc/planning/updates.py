"""Updates in place: a new value that is computed element by element is written over the old one.

Without it, an optimiser writes new parameters beside the old ones and copies them afterwards: three times the traffic.
An update is done in place where one elementwise launch computes it, reads the old value at most where it writes, and
everything else that needs the old value comes before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphc.formula.statement import size_name
from graphc.planning.fusion import covers, elementwise
from graphc.planning.plan import Launch

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["update_in_place"]


def update_in_place(builder: _Builder, updates: Iterable[tuple[int, int]], kept: Iterable[int]) -> None:
    """Let new values share the memory of what they replace, where the order of launches allows it.

    Parameters
    ----------
    updates : pairs of buffer numbers
        A parameter or state, and its new value.
    kept : buffer numbers
        What the caller reads beside the updates: it stays where it is.
    """
    outside = {builder.base(number) for number in kept}
    touched: dict[int, list[int]] = {}
    for position, launch in enumerate(builder.launches):
        for base in {builder.base(number) for number in launch.buffers}:
            touched.setdefault(base, []).append(position)
    for leaf, value in updates:
        base, buffer = builder.base(leaf), builder.buffers[value]
        own = builder.buffers[base]
        if buffer.role != "arena" or buffer.view_of is not None or value in outside:
            continue
        if (buffer.shape, buffer.dtype) != (own.shape, own.dtype) or own.role not in ("parameter", "state"):
            continue
        writers = [k for k in touched.get(value, ()) if builder.launches[k].buffers[0] == value]
        last = max((k for k in touched.get(base, ())), default=-1)
        if len(writers) != 1 or last > writers[0] or builder.launches[writers[0]].repeat >= 0:
            continue
        if _sets_each(builder, builder.launches[writers[0]], base):
            buffer.view_of = base
            touched[base] = sorted({*touched.get(base, ()), *touched[value]})


def _sets_each(builder: _Builder, launch: Launch, old: int) -> bool:
    """Whether a launch sets each element once, and reads of the old values at most the one in its place."""
    found = elementwise(builder.kernel_list[launch.kernel])
    if found is None:
        return False
    names = [
        size_name(f"t{k}", d)
        for k, number in enumerate(launch.buffers)
        for d in range(len(builder.buffers[number].shape))
    ]
    if not covers(found, dict(zip(names, launch.arguments, strict=True))):
        return False
    tensors = {f"t{k}" for k, number in enumerate(launch.buffers) if builder.base(number) == old}
    s = found.statement
    return all(access.index == s.write.index for _, access in s.reads if access.tensor in tensors)
