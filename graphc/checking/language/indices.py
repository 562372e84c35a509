"""Sums with an index, and names with indices: ``\\sum_j W_{ij} \\delta_j`` over arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.formula.expression import Expression

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["summed"]


def summed(reader: Reader, below: str) -> Expression:
    """Read what a sum sign stands before, up to the next sum or difference."""
    return reader.make("sum", reader.expression(20))
