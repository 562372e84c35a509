"""A gate applied to one of its samples: what pages, pictures and kernels of the atlas start from."""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample, input

__all__ = ["apply_sample", "operand_names"]


def operand_names(gate: Gate) -> tuple[str, ...]:
    """Return the names of the operands of the longest sample: optional ones included, variadic ones counted."""
    return gate.names(max(len(sample.shapes) for sample in gate.samples))


def apply_sample(gate: Gate, sample: Sample) -> tuple[Node, ...]:
    """Return every output of the gate on inputs of the sample's shapes."""
    operands = [
        input(name, shape, "int32" if k in sample.integers else "float32")
        for k, (name, shape) in enumerate(zip(gate.names(len(sample.shapes)), sample.shapes, strict=True))
    ]
    return gate.apply(tuple(operands), sample.attributes)
