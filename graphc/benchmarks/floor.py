"""The least that a training step must do: arithmetic of its products, and bytes that have to move."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.benchmarks.workloads import BATCH
from graphc.graph import Node, topological
from graphc.graph.repeating import Cell, Unrolling

__all__ = ["Floor", "floor_of"]


@dataclass(frozen=True)
class Floor:
    """Work of one step.

    Attributes
    ----------
    flops : int
        Of convolutions, dense layers and recurrent cells: forward, and the gradients by weights and by operand. What
        is data needs no gradient. A multiply-add counts 2; all other gates count 0, and so does looking up rows.
        Convolutions count as direct sums: minimal filtering needs fewer multiplications, so that a step may take less
        than its floor; and so it may where rows of a table are looked up in products.
    bytes : int
        Data read; parameters and velocities read and written, in float32. Activations may stay in cache.
    """

    flops: int
    bytes: int


def floor_of(loss: Node, batch: int = BATCH) -> Floor:
    """Count the floor of a training step on a number of examples."""
    nodes = topological([loss])
    flops = 0
    for node in nodes:
        weight = next((n for n in node.operands if n.kind == "parameter" and len(n.shape) > 1), None)
        if weight is None or node.gate == "embedding" or isinstance(node.application, Unrolling):
            continue
        # each element of the result sums over all elements of one filter, or of one row
        product = 2 * _elements(node, batch) * (_elements(weight, batch) // _number(weight.shape[0], batch))
        data = next(n for n in node.operands if n is not weight)
        flops += product * (2 if data.kind == "input" else 3)
    unrollings = {id(n.application): n.application for n in nodes if isinstance(n.application, Unrolling)}
    flops += sum(_number(made.steps, batch) * _cell(made.cell, batch) for made in unrollings.values())
    inputs = sum(4 * _elements(n, batch) for n in nodes if n.kind == "input")
    parameters = sum(4 * _elements(n, batch) for n in nodes if n.kind == "parameter")
    return Floor(flops, inputs + 4 * parameters)


def _cell(cell: Cell, batch: int) -> int:
    """FLOP of one step: every weight of a recurrent cell multiplies one row of each example."""
    nodes = topological([*cell.outputs, *cell.following])
    gates = {id(n.application): n for n in nodes if n.application is not None}  # outputs of a gate share its products
    flops = 0
    for node in gates.values():
        weights = [n for n in node.operands if n.kind == "parameter" and len(n.shape) > 1]
        flops += sum(3 * 2 * _number(node.shape[0], batch) * _elements(weight, batch) for weight in weights)
    return flops


def _elements(node: Node, batch: int) -> int:
    return math.prod(_number(extent, batch) for extent in node.shape)


def _number(extent: object, batch: int) -> int:
    """Number of an extent; the only named one is the batch."""
    return extent if isinstance(extent, int) else batch
