"""The least that a training step must do: arithmetic of its products, and bytes that have to move."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.benchmarks.workloads import BATCH
from graphc.graph import Node, topological

__all__ = ["Floor", "floor_of"]


@dataclass(frozen=True)
class Floor:
    """Work of one step.

    Attributes
    ----------
    flops : int
        Of convolutions and dense layers: forward, and the gradients by weights and by operand. The first layer
        needs no gradient by its operand, the data. A multiply-add counts 2; all other gates count 0. Convolutions count
        as direct sums: minimal filtering needs fewer multiplications, so that a step may take less than its floor.
    bytes : int
        Data read; parameters and velocities read and written, in float32. Activations may stay in cache.
    """

    flops: int
    bytes: int


def floor_of(loss: Node) -> Floor:
    """Count the floor of a training step on `BATCH` examples."""
    nodes = topological([loss])
    flops = 0
    for node in nodes:
        weight = next((n for n in node.operands if n.kind == "parameter" and len(n.shape) > 1), None)
        if weight is None:
            continue
        # each element of the result sums over all elements of one filter, or of one row
        product = 2 * _elements(node) * (_elements(weight) // _number(weight.shape[0]))
        data = next(n for n in node.operands if n is not weight)
        flops += product * (2 if data.kind == "input" else 3)
    inputs = sum(4 * _elements(n) for n in nodes if n.kind == "input")
    parameters = sum(4 * _elements(n) for n in nodes if n.kind == "parameter")
    return Floor(flops, inputs + 4 * parameters)


def _elements(node: Node) -> int:
    return math.prod(_number(extent) for extent in node.shape)


def _number(extent: object) -> int:
    """Number of an extent; the only named one is the batch."""
    return extent if isinstance(extent, int) else BATCH
