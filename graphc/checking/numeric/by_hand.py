"""A backward pass by hand: a function of the leaves of a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy

from graphc.checking.numeric.subjects import PythonFunction, plain_gradients
from graphc.errors import DataError, did_you_mean

__all__ = ["ByHand"]

Array = numpy.ndarray


class ByHand(PythonFunction):
    """A function that asks for leaves of a graph by name, and returns gradients, or a loss and gradients.

    Where a name is none in Python, an underscore stands for every dot: ``conv1_weight`` for ``conv1.weight``.

    Parameters
    ----------
    values : mapping
        Array of every leaf, by name.
    """

    def __init__(self, function: Any, values: Mapping[str, Array], seed: int) -> None:
        #: argument of the function -> name of the leaf
        self.leaves = _asked_for(function, list(values))
        super().__init__(function, {name: values[leaf] for name, leaf in self.leaves.items()}, seed)
        self.known = {**{leaf.replace(".", "_"): a for leaf, a in values.items()}, **values}
        self.names = {**{leaf.replace(".", "_"): leaf for leaf in values}, **{leaf: leaf for leaf in values}}

    def __call__(self, point: Mapping[str, Array]) -> tuple[float | None, dict[str, Array]]:
        """Loss, where the function returns it, and gradients by the names of the leaves."""
        arguments = {name: point[leaf] for name, leaf in self.leaves.items() if leaf in point}
        result = self.called(self.function, arguments)
        loss = None
        if isinstance(result, tuple | list) and len(result) == 2:
            first, second = result
            several = isinstance(second, Mapping | tuple | list)
            if several or (numpy.shape(first) == () and len(self.arrays()) == 1):
                loss, result = float(first), second
        data = self.known if isinstance(result, Mapping) else self.data
        gradients = plain_gradients(self.name, result, list(self.arrays()), data)
        return loss, {self.names[name]: gradient for name, gradient in gradients.items()}


def _asked_for(function: Callable[..., Any], names: list[str]) -> dict[str, str]:
    """Which leaf each argument of a function stands for; all leaves where it takes any."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return {name: name for name in names}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return {name: name for name in names}
    known = {**{name.replace(".", "_"): name for name in names}, **{name: name for name in names}}
    missing = [
        p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and p.name not in known
    ]
    if missing:
        raise DataError(
            f"check_gradients: the function asks for {missing[0]!r}, which the graph does not have"
            f"{did_you_mean(missing[0], known)}; it has {', '.join(names)}"
        )
    return {p.name: known[p.name] for p in parameters if p.name in known}
