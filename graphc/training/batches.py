"""Data into batches: dicts of arrays are cut and shuffled, iterables of dicts are taken as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy

from graphc.errors import DataError, did_you_mean
from graphc.formula.size import Extent, Size, named
from graphc.graph import Node
from graphc.graph.shapes import shape_text

__all__ = ["Batches", "batch_axis", "batch_size_name", "whole_number"]

Batch = dict[str, Any]


def whole_number(name: str, value: Any, low: int) -> int:
    """Return a whole number of at least ``low``, or refuse it."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < low:
        raise DataError(f"{name} must be a whole number of at least {low}, found {value!r}")
    return int(value)


def _name(extent: Extent) -> str | None:
    """The name of an extent that is a bare name."""
    if not isinstance(extent, Size):
        return None
    names = extent.names()
    return next(iter(names)) if len(names) == 1 and extent == named(next(iter(names))) else None


def batch_size_name(inputs: Iterable[Node]) -> str | None:
    """Return the named size that examples run along: ``N``, or else the first one that leads an input."""
    found = [name for node in inputs for extent in node.shape if (name := _name(extent))]
    if "N" in found:
        return "N"
    leading = [name for node in inputs if node.shape and (name := _name(node.shape[0]))]
    return leading[0] if leading else (found[0] if found else None)


def batch_axis(node: Node, name: str | None) -> int | None:
    """Return the axis of a node that examples run along, or None."""
    if name is None:
        return None
    return next((k for k, extent in enumerate(node.shape) if _name(extent) == name), None)


class Batches:
    """Data checked against the inputs of a graph, ready to be cut into batches.

    Parameters
    ----------
    data : mapping, Dataset, or iterable of dicts
        A mapping of arrays (anything with ``keys`` and ``[]``) holds all examples; an iterable gives one dict
        a batch.
    inputs : sequence of Node
        Inputs that need an array; other arrays in the data are left alone.
    what : str
        What the data are for, in messages.

    Raises
    ------
    DataError
        If an array is missing, lengths differ, or there are no examples.
    """

    def __init__(self, data: Any, inputs: Sequence[Node], what: str) -> None:
        self.inputs = {node.label: node for node in inputs}
        self.what = what
        self.name = batch_size_name(inputs)
        self.axes = {label: batch_axis(node, self.name) for label, node in self.inputs.items()}
        self.count: int | None = None
        self.arrays: Batch = {}
        self.iterable: Iterable[Any] | None = None
        if hasattr(data, "keys") and hasattr(data, "__getitem__"):
            self._whole(data)
        elif isinstance(data, Iterable) and not isinstance(data, str | bytes | numpy.ndarray):
            self.iterable = data
        else:
            raise DataError(
                f"{what}: expected a dict of arrays, a Dataset, or an iterable of dicts, found "
                f"{type(data).__name__}; for example fit({{'image': images, 'label': labels}})"
            )

    def _whole(self, data: Mapping[str, Any]) -> None:
        self.arrays = self._picked(data)
        lengths = {}
        for label, axis in self.axes.items():
            if axis is not None:
                lengths[label] = self._length(label, self.arrays[label], axis)
        if not lengths:
            shapes = ", ".join(f"{k} {shape_text(n.shape)}" for k, n in self.inputs.items())
            raise DataError(
                f"{self.what}: no input has a size known at run time ({shapes or 'there are no inputs'}), so "
                "there is nothing to cut into batches; declare the inputs with one, as in "
                "graphc.input('image', ('N', 1, 8, 8)), or hand in an iterable of dicts"
            )
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{label} {length}" for label, length in lengths.items())
            raise DataError(f"{self.what}: the arrays have different numbers of examples: {found}")
        self.count = next(iter(lengths.values()))
        if self.count == 0:
            raise DataError(f"{self.what}: the arrays hold no examples")

    def _picked(self, data: Mapping[str, Any]) -> Batch:
        keys = [str(key) for key in data.keys()]  # noqa: SIM118 - a Dataset is not iterable
        picked = {}
        for label, node in self.inputs.items():
            if label not in keys:
                raise DataError(
                    f"{self.what}: there is no array {label!r}{did_you_mean(label, keys)}; the data have "
                    f"{', '.join(keys) or 'none'}, the graph needs {', '.join(self.inputs)}\n"
                    f"  {label!r} {shape_text(node.shape)} is declared at {node.site}",
                    node=node,
                    site=node.site,
                )
            picked[label] = numpy.asarray(data[label])
        return picked

    def _length(self, label: str, array: numpy.ndarray, axis: int) -> int:
        if array.ndim <= axis:
            node = self.inputs[label]
            raise DataError(
                f"{self.what}: {label!r} needs shape {shape_text(node.shape)}, found {array.shape}\n"
                f"  declared at {node.site}",
                node=node,
                site=node.site,
            )
        return array.shape[axis]

    def once(self) -> bool:
        """Whether the data can be gone through only once (a generator)."""
        return self.iterable is not None and iter(self.iterable) is self.iterable

    def steps(self, size: int) -> int | None:
        """Batches in one pass, where that is known."""
        if self.count is None:
            return len(self.iterable) if isinstance(self.iterable, Sequence) else None
        return -(-self.count // size)

    def batches(self, size: int, order: numpy.ndarray | None = None) -> Iterator[tuple[Batch, int]]:
        """Give each batch with its number of examples; the last one may be smaller."""
        if self.iterable is not None:
            yield from self._taken(self.iterable)
            return
        assert self.count is not None
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            rows: Any = slice(start, stop) if order is None else order[start:stop]
            batch = {
                label: array if axis is None else array[(slice(None),) * axis + (rows,)]
                for (label, array), axis in zip(self.arrays.items(), self.axes.values(), strict=True)
            }
            yield batch, stop - start

    def _taken(self, iterable: Iterable[Any]) -> Iterator[tuple[Batch, int]]:
        empty = True
        for number, item in enumerate(iterable):
            if not (hasattr(item, "keys") and hasattr(item, "__getitem__")):
                raise DataError(f"{self.what}: batch {number} is a {type(item).__name__}, expected a dict of arrays")
            batch = self._picked(item)
            lengths = {self._length(label, batch[label], axis) for label, axis in self.axes.items() if axis is not None}
            empty = False
            yield batch, next(iter(lengths)) if len(lengths) == 1 else 1
        if empty:
            raise DataError(f"{self.what}: the iterable gave no batches")
