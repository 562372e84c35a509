"""What a gradient check can be about: a compiled step, a Python function, or a pair forward and backward.

Each is called with copies, at the same random numbers every time, and left as it was found.
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy

from graphc.errors import CheckError, DataError, did_you_mean
from graphc.graph.node import Node

__all__ = ["CompiledStep", "PythonFunction", "Subject", "is_step", "plain_gradients"]

Array = numpy.ndarray


class Subject(Protocol):
    """Something with a loss and gradients."""

    name: str

    def __call__(self, point: Mapping[str, Array]) -> tuple[float | None, dict[str, Array]]:
        """Loss (None where only gradients are known) and gradients by name."""
        ...


def is_step(subject: Any) -> bool:
    """Whether a subject looks like a compiled step: it is called by name and keeps parameters."""
    return callable(subject) and isinstance(getattr(subject, "parameters", None), Mapping)


class CompiledStep:
    """A compiled step. Parameters, states and optimiser states are put back by `restored`.

    Parameters
    ----------
    step : callable
        ``step(**inputs) -> (values, gradients)`` with ``parameters``; ``states`` where it has any.
    inputs : mapping
        Arrays of its inputs by name.
    """

    name = "compiled step"

    def __init__(self, step: Any, inputs: Mapping[str, Any]) -> None:
        if getattr(step, "optimizer", None) is not None:
            raise CheckError(
                "check_gradients: the step has an optimizer, so that every call changes the parameters it would check\n"
                "  Try: graphc.compile([loss], gradients=True), with parameters=step.parameters to share them"
            )
        self.step = step
        self.inputs = dict(inputs)
        self.groups = [
            group
            for group in (step.parameters, getattr(step, "states", None), getattr(step, "optimizer_state", None))
            if isinstance(group, Mapping)
        ]
        self.saved = [{name: numpy.array(group[name]) for name in group} for group in self.groups]
        self.dtype = str(getattr(step, "dtype", "")) or str(
            next((a.dtype for a in self.saved[0].values() if a.dtype.kind == "f"), "float32")
        )

    def root(self) -> Node | None:
        """The node that is differentiated, where the step knows it."""
        outputs = getattr(self.step, "outputs", None)
        return outputs[0] if isinstance(outputs, list | tuple) and outputs and isinstance(outputs[0], Node) else None

    def restore(self) -> None:
        """Put every array back as it was."""
        for group, saved in zip(self.groups, self.saved, strict=True):
            for name, array in saved.items():
                group[name][...] = array

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Leave the step as it was found."""
        try:
            yield
        finally:
            self.restore()

    def __call__(self, point: Mapping[str, Array]) -> tuple[float | None, dict[str, Array]]:
        """Run once at a point, from the states it had."""
        self.restore()
        parameters = self.groups[0]
        inputs = {}
        for name in self.inputs:
            inputs[name] = point.get(name, self.inputs[name])
        for name, array in point.items():
            if name in parameters:
                parameters[name][...] = array
        result = self.step(**inputs)
        if not (isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise CheckError(
                "check_gradients: the step returns values but no gradients\n"
                "  Try: graphc.compile([loss], gradients=True)"
            )
        values, gradients = result
        value = numpy.asarray(values[0])
        if value.shape != ():
            raise CheckError(
                f"check_gradients: the first output of the step has shape {value.shape}; gradients are those of a "
                "scalar\n  Try: graphc.compile([graphc.sum(output)], gradients=True)"
            )
        return float(value), {name: numpy.array(gradient) for name, gradient in gradients.items()}


class PythonFunction:
    """``function(**data) -> (loss, gradients)``, or a pair ``(forward, backward)``.

    Of a pair, ``forward`` returns the loss, and ``backward(**data)`` the gradients; or ``forward`` returns
    ``(output, cache)`` and ``backward(upstream, cache)`` the gradients in the order of the arguments, for a loss that
    is the sum of the output times a fixed random upstream gradient.
    """

    def __init__(self, function: Any, data: Any, seed: int) -> None:
        pair = isinstance(function, tuple | list)
        if pair and (len(function) != 2 or not all(callable(f) for f in function)):
            raise CheckError("check_gradients: a pair is (forward, backward), two functions")
        self.function, self.backward = function if pair else (function, None)
        self.name = getattr(self.function, "__name__", type(self.function).__name__)
        self.seed = seed
        self.upstream: Array | None = None
        self.keywords = isinstance(data, Mapping)
        self.data: dict[str, Any] = dict(data) if self.keywords else dict(enumerate_names(self.function, data))
        for value in self.data.values():
            _check_value(value)
        self._bind()

    def _bind(self) -> None:
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return
        try:
            if self.keywords:
                signature.bind(**self.data)
            else:
                signature.bind(*self.data.values())
        except TypeError as error:
            raise DataError(
                f"check_gradients: {self.name}{signature} cannot be called with the data: {error}\n"
                f"  data holds {', '.join(map(str, self.data)) or 'nothing'}"
            ) from None

    def arrays(self) -> dict[str, Array]:
        """What could be differentiated: the arrays of floats in the data."""
        return {
            name: numpy.asarray(value, dtype="float64")
            for name, value in self.data.items()
            if _is_number(value) and numpy.asarray(value).dtype.kind == "f"
        }

    def __call__(self, point: Mapping[str, Array]) -> tuple[float | None, dict[str, Array]]:
        """Loss and gradients at a point."""
        result = self.called(self.function, point)
        if self.backward is None:
            return _loss_and_gradients(self.name, result, list(self.arrays()), self.data)
        if isinstance(result, tuple) and len(result) == 2:
            output, cache = result
            loss, upstream = self._projected(output)
            with self._frozen_random():
                gradients = self.backward(upstream, cache)
        else:
            loss, _ = self._projected(result)
            gradients = self.called(self.backward, point)
        return loss, plain_gradients(self.name, gradients, list(self.arrays()), self.data)

    def loss(self, point: Mapping[str, Array]) -> float:
        """Loss at a point."""
        result = self.called(self.function, point)
        if self.backward is None:
            return _loss(self.name, result)[0]
        return self._projected(result[0] if isinstance(result, tuple) and len(result) == 2 else result)[0]

    def _projected(self, output: Any) -> tuple[float, Any]:
        array = numpy.asarray(output, dtype="float64")
        if array.shape == ():
            return float(array), 1.0
        if self.upstream is None or self.upstream.shape != array.shape:
            self.upstream = numpy.random.default_rng(self.seed).standard_normal(array.shape)
        return float((array * self.upstream).sum()), self.upstream.copy()

    def called(self, function: Callable[..., Any], point: Mapping[str, Array]) -> Any:
        """What a function returns at a point, given copies."""
        arguments = {
            name: numpy.array(point[name]) if name in point else copy.deepcopy(value)
            for name, value in self.data.items()
        }
        with self._frozen_random():
            return function(**arguments) if self.keywords else function(*arguments.values())

    @contextmanager
    def _frozen_random(self) -> Iterator[None]:
        """The same random numbers at every call, from generators that are left as they were."""
        legacy, plain = numpy.random.get_state(), random.getstate()  # noqa: NPY002 - what users of it draw from
        numpy.random.seed(self.seed)  # noqa: NPY002 - the same
        random.seed(self.seed)
        try:
            yield
        finally:
            numpy.random.set_state(legacy)  # noqa: NPY002 - the same
            random.setstate(plain)


def enumerate_names(function: Callable[..., Any], data: Any) -> list[tuple[str, Any]]:
    """Names for arguments that are given by position: those of the function, where it tells."""
    values = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
    try:
        names = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    names += [f"argument {k}" for k in range(len(names), len(values))]
    return list(zip(names, values, strict=False))


def _is_number(value: Any) -> bool:
    return isinstance(value, numpy.ndarray | numpy.generic | float | int | list) and not isinstance(value, bool)


def _check_value(value: Any) -> None:
    if isinstance(value, numpy.ndarray) and value.dtype.kind not in "fiub":
        raise DataError(f"check_gradients: data holds an array of dtype {value.dtype}, expected numbers")


def _loss(name: str, result: Any) -> tuple[float, Any]:
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise CheckError(
            f"check_gradients: {name} must return (loss, gradients), found {_described(result)}\n"
            "  Or hand in a pair: check_gradients((forward, backward), data)"
        )
    loss, gradients = result
    try:
        value = numpy.asarray(loss, dtype="float64")
    except (TypeError, ValueError):
        raise CheckError(f"check_gradients: the loss of {name} is no number, found {_described(loss)}") from None
    if value.size != 1:
        raise CheckError(
            f"check_gradients: the loss of {name} has shape {value.shape}, expected one number\n"
            "  Try: its sum, or its sum with a fixed array of weights"
        )
    return float(value.reshape(())), gradients


def _loss_and_gradients(
    name: str, result: Any, floats: list[str], data: Mapping[str, Any]
) -> tuple[float, dict[str, Array]]:
    loss, gradients = _loss(name, result)
    return loss, plain_gradients(name, gradients, floats, data)


def plain_gradients(name: str, gradients: Any, floats: list[str], data: Mapping[str, Any]) -> dict[str, Array]:
    """Gradients as a dict of arrays by name; given in order, they belong to the float arguments in order.

    Raises
    ------
    CheckError
        If a name is unknown, belongs to whole numbers, or there are too many gradients.
    """
    if isinstance(gradients, Mapping):
        found = {}
        for key, gradient in gradients.items():
            target = str(key)
            if target not in data and target[:1] == "d" and target[1:] in data:
                target = target[1:]  # dW is the gradient of W
            if target not in data:
                raise CheckError(
                    f"check_gradients: {name} returns a gradient for {key!r}, which is not in the data"
                    f"{did_you_mean(target, data)}; data: {', '.join(map(str, data))}"
                )
            if gradient is not None:
                found[target] = _array(name, target, gradient)
    else:
        items = list(gradients) if isinstance(gradients, tuple | list) else [gradients]
        numbers = [key for key, value in data.items() if _is_number(value)]
        order = numbers if len(items) == len(numbers) else floats
        if len(items) > len(order):
            raise CheckError(
                f"check_gradients: {name} returns {len(items)} gradients for {len(order)} arrays of floats "
                f"({', '.join(order) or 'none'})\n  Try: a dict by name, {{'W': dW}}"
            )
        found = {key: _array(name, key, g) for key, g in zip(order, items, strict=False) if g is not None}
    for key in found:
        dtype = numpy.asarray(data[key]).dtype
        if dtype.kind != "f":
            raise DataError(
                f"check_gradients: {key!r} has dtype {dtype}, so that a small step would be lost in it\n"
                f"  Try: {key}.astype('float64') in the data; or leave out its gradient, if it holds labels"
            )
    if not found:
        raise CheckError(f"check_gradients: {name} returns no gradients")
    return found


def _array(name: str, key: str, gradient: Any) -> Array:
    try:
        array = numpy.asarray(gradient)
    except ValueError as error:
        raise CheckError(f"check_gradients: the gradient of {key!r} from {name} is no array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise CheckError(
            f"check_gradients: the gradient of {key!r} from {name} is no array of numbers, found {_described(gradient)}"
        )
    return array


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")
