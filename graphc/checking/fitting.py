"""Shapes first: what is wrong with the shape of a claim, in the words of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim
from graphc.errors import CheckError
from graphc.formula.size import Extent, named
from graphc.graph.shapes import shape_text

__all__ = ["misfit", "shape_of_claim"]


def shape_of_claim(claim: Claim, circuit: Circuit) -> tuple[tuple[int, ...] | None, str]:
    """Shape of a claim's value, or None and what does not fit inside of it.

    The shape of a function is known only once it has been called: ``(None, "")``.
    """
    from graphc.checking.language import shape_of

    if claim.expression is None:
        return None, ""
    table = {**claim.nodes, **claim.upstream}
    try:
        shape = shape_of(claim.expression, {name: circuit.shapes[node.id] for name, node in table.items()})
    except CheckError as error:
        text = str(error)
        try:  # in the words of the graph, where that is possible
            shape_of(claim.expression, {name: node.shape for name, node in table.items()})
        except CheckError as symbolic:
            text = str(symbolic)
        return None, text
    return tuple(int(str(extent)) for extent in shape), ""


def misfit(claim: Claim, circuit: Circuit, found: Sequence[int]) -> str:
    """Say what is wrong with a shape.

    Parameters
    ----------
    found : sequence of int
        Shape of the claim's value.
    """
    target = claim.target
    wanted = circuit.shapes[target.id]
    names = {k: name for name, k in circuit.sizes.items()}
    for extent in target.shape:  # a number that the graph declares is not called by a size's name
        if isinstance(extent, int):
            names.pop(extent, None)
    extents: tuple[Extent, ...] = tuple(named(names[k]) if k in names else k for k in found)
    text = shape_text(extents)
    message = (
        f"the claim has shape {text}, but {target.label} has shape {shape_text(target.shape)}, and so has its gradient"
    )
    hint = _hint(tuple(found), wanted, names)
    return f"{message}; {hint}" if hint else message


def _hint(found: tuple[int, ...], wanted: tuple[int, ...], names: dict[int, str]) -> str:
    def called(extent: Any) -> str:
        return f"of extent {names.get(extent, extent)}"

    if len(found) >= 2 and found == wanted[::-1] and found != wanted:
        return "it looks like a transpose"
    if len(found) >= 2 and sorted(found) == sorted(wanted):
        return "its axes are in another order"
    for axis in range(len(found)):
        rest = found[:axis] + found[axis + 1 :]
        if rest == wanted:
            return f"a sum over the axis {called(found[axis])} is missing"
    if wanted and found[-len(wanted) :] == wanted and len(found) > len(wanted):
        return f"a sum over its first {len(found) - len(wanted)} axes is missing"
    if _squeezed(found) == _squeezed(wanted):
        return "an axis of extent 1 is too many or missing"
    for axis in range(len(wanted)):
        if wanted[:axis] + wanted[axis + 1 :] == found:
            return f"every entry along the axis {called(wanted[axis])} has a gradient of its own; write them all out"
    if len(found) == len(wanted) and all(f in (1, w) for f, w in zip(found, wanted, strict=True)):
        return "entries that are equal are written out in full"
    return ""


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k for k in shape if k != 1)
