"""Blocks to place and links between them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.drawing.scene import Command

__all__ = ["GAP", "Block", "Link", "Placement", "Result"]

GAP = 8.0  # points between blocks of one layer


@dataclass(frozen=True, slots=True)
class Block:
    """A box to place: its size, the heights of its entries (left) and of its exit (right)."""

    width: float
    height: float
    entries: tuple[float, ...] = ()
    exit: float = 0.0
    first: bool = False  # stands in the first layer, not just before its first reader


@dataclass(frozen=True, slots=True)
class Link:
    """A wire from the exit of one block to an entry of another."""

    tail: int
    head: int
    entry: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Top left corner of each block, outline of each wire, and which engine did it."""

    corners: tuple[tuple[float, float], ...]
    wires: tuple[tuple[Command, ...], ...]
    width: float
    height: float
    engine: str
    note: str = ""  # where another engine served than the one asked for


#: Corner of every block and outline of every wire, as an engine returns them.
Result = tuple[Sequence[tuple[float, float]], Sequence[tuple[Command, ...]]]
