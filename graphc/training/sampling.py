"""Sampling: a compiled single step that draws a sequence token by token and reads what it drew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy

from graphc.errors import DataError, did_you_mean
from graphc.graph import Node, shape_text, topological
from graphc.kernels import Step
from graphc.training.batches import whole_number

__all__ = ["sample"]

Array = numpy.ndarray


def sample(
    step: Step,
    first: Any,
    length: int,
    *,
    state: Mapping[str, Any],
    temperature: float = 1.0,
    seed: int = 0,
) -> Array:
    """Draw sequences token by token: each token is drawn from the scores behind the one before.

    Parameters
    ----------
    step : Step
        A compiled single step. Its inputs are the token, (N,) or (1, N) whole numbers, and the states. Its outputs are
        the scores, (N, V) or (1, N, V), and behind them the new states in the order of ``state``. Compile it with
        ``parameters=`` of what is trained and ``training=False``: it shares the parameters, so that one step serves at
        every stage of the training.
    first : int, array (N,) or array (P, N)
        The token to start from: one for all sequences, or one for each. Several rows are read one after the other, and
        drawing begins behind the last.
    length : int
        How many tokens are drawn for each sequence.
    state : mapping of str to array or number
        Where the states start, by the name of their input: ``{"h": 0, "c": 0}``, or arrays (N, ...). Empty, if the step
        has none.
    temperature : float, default 1.0
        Scores are divided by it before the softmax. Below 1 likely tokens become more likely; 0 takes the best.
    seed : int, default 0
        Of the random numbers: equal seeds draw equal tokens.

    Returns
    -------
    numpy.ndarray, shape (length, N), int32
        The tokens drawn, without ``first``.

    Raises
    ------
    DataError
        If the step has other inputs or outputs than these, a token is outside of the vocabulary, a state does not fit,
        the scores are not finite, or an option is out of its range. What happens on the way names the step.

    Source
    ------
    Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850 (2013), section 2; temperature: Ackley,
    Hinton, Sejnowski, Cognitive Science 9 (1985).

    Examples
    --------
    >>> import graphc
    >>> token = graphc.input("token", ("N",), dtype="int32")
    >>> successor = graphc.parameter("successor", (3, 3), initial=[[0.0, 9, 0], [0, 0, 9], [9, 0, 0]])
    >>> step = graphc.compile([graphc.embedding(successor, token)], training=False)
    >>> sample(step, [0, 1], 4, state={}, temperature=0)
    array([[1, 2],
           [2, 0],
           [0, 1],
           [1, 2]], dtype=int32)
    """
    count = whole_number("length", length, 0)
    heat = _temperature(temperature)
    generator = numpy.random.default_rng(whole_number("seed", seed, 0))
    inputs = {node.label: node for node in topological(step.outputs) if node.kind == "input"}
    token, vocabulary = _interface(step, inputs, state)
    rows = _rows(first, vocabulary)
    examples = _examples(rows, token, inputs, state)
    rows = numpy.broadcast_to(rows, (len(rows), examples))
    states = {name: _start(inputs[name], token, value, examples, step.dtype) for name, value in state.items()}
    drawn = numpy.empty((count, examples), dtype="int32")
    for number in range(len(rows) + count - 1 if count else 0):
        read = rows[number] if number < len(rows) else drawn[number - len(rows)]
        shaped = read if len(token.shape) == 1 else read[None]
        try:
            scores, *following = step(**{token.label: shaped}, **states)
        except DataError as error:
            tokens = sorted(set(read.tolist()))
            raise DataError(f"sample: step {number}, which reads the tokens {tokens}, failed: {error}") from error
        states = _followed(states, following, number)
        if number >= len(rows) - 1:
            drawn[number - len(rows) + 1] = _draw(scores.reshape(examples, vocabulary), heat, generator, number)
    return drawn


# ---- what is handed in -------------------------------------------------------------------------------------


def _temperature(temperature: Any) -> float:
    heat = float(temperature) if isinstance(temperature, int | float | numpy.number) else math.nan
    if isinstance(temperature, bool) or not math.isfinite(heat) or heat < 0:
        raise DataError(
            f"temperature={temperature!r} must be a number of at least 0: 0 takes the best token, 1 draws from the "
            "softmax of the scores, more draws more evenly"
        )
    return heat


def _interface(step: Step, inputs: Mapping[str, Node], state: Mapping[str, Any]) -> tuple[Node, int]:
    """Check inputs and outputs of a step; its input for tokens, and the number of tokens that it scores."""
    for name in state:
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            raise DataError(
                f"sample: state has {name!r}, but the step has no such input{did_you_mean(name, inputs)}; "
                f"it has {known}"
            )
    others = [node for name, node in inputs.items() if name not in state]
    if len(others) != 1:
        found = ", ".join(f"{node.label!r} {shape_text(node.shape)}" for node in others) or "none"
        raise DataError(
            "sample: the step needs one input for the token, and every other one in state; "
            f"found beside {', '.join(map(repr, state)) or 'an empty state'}: {found}\n"
            "  Try: a number or an array for each state, as in state={'h': 0, 'c': 0}"
        )
    token, scores = others[0], step.outputs[0]
    rank = len(token.shape)
    if token.is_float or rank not in (1, 2) or (rank == 2 and token.shape[0] != 1):
        raise DataError(
            f"sample: the token is (N,) or (1, N) whole numbers, found {token.label!r} {shape_text(token.shape)} "
            f"{token.dtype}\n  declared at {token.site}\n"
            "  Try: the same network compiled for one step, with parameters= of the long one",
            node=token,
            site=token.site,
        )
    fits = scores.is_float and len(scores.shape) in (2, 3) and (len(scores.shape) == 2 or scores.shape[0] == 1)
    vocabulary = scores.shape[-1] if fits else None
    if not isinstance(vocabulary, int):
        raise DataError(
            f"sample: the first output is the scores, (N, V) or (1, N, V) floats with a number for V, found "
            f"{scores.label!r} {shape_text(scores.shape)} {scores.dtype}\n  declared at {scores.site}",
            node=scores,
            site=scores.site,
        )
    if len(step.outputs) != 1 + len(state):
        found = ", ".join(f"{node.label!r}" for node in step.outputs[1:]) or "nothing"
        raise DataError(
            f"sample: behind the scores the outputs are the new states, in the order of state: "
            f"{', '.join(map(repr, state)) or 'none'}; found {found}"
        )
    return token, vocabulary


def _rows(first: Any, vocabulary: int) -> Array:
    """The given tokens, one row for each step that reads them."""
    rows = numpy.asarray(first)
    if rows.dtype.kind not in "iu" or rows.ndim > 2 or 0 in rows.shape:
        raise DataError(
            "sample: first is a token, an array (N,), or an array (P, N) of whole numbers; found "
            f"{rows.dtype} of shape {rows.shape}"
        )
    rows = rows.reshape((1, -1) if rows.ndim < 2 else rows.shape)
    outside = numpy.argwhere((rows < 0) | (rows >= vocabulary))
    if len(outside):
        p, n = outside[0].tolist()
        raise DataError(
            f"sample: first has the token {rows[p, n]} for step {p}, sequence {n}; "
            f"the step scores {vocabulary} tokens, 0 to {vocabulary - 1}"
        )
    return rows.astype("int32")


def _examples(rows: Array, token: Node, inputs: Mapping[str, Node], state: Mapping[str, Any]) -> int:
    """How many sequences are drawn: what first, the declaration and the states say together."""
    extent = token.shape[-1]
    found = {"first": rows.shape[1]}
    if isinstance(extent, int):
        found[token.label] = extent
    for name, value in state.items():
        declared = inputs[name].shape
        if numpy.ndim(value) == len(declared) and extent in declared:
            found[name] = numpy.shape(value)[declared.index(extent)]
    count = max(found.values())
    if any(size not in (1, count) or (size != count and name != "first") for name, size in found.items()):
        sizes = ", ".join(f"{name} has {size}" for name, size in found.items())
        raise DataError(f"sample: the number of sequences differs: {sizes}")
    return count


def _start(node: Node, token: Node, value: Any, examples: int, dtype: str) -> Array:
    """A state before the first step, of the shape that its input declares."""
    sizes = [examples if extent == token.shape[-1] else extent for extent in node.shape]
    known = [size for size in sizes if isinstance(size, int)]
    array = numpy.asarray(value)
    if array.ndim == 0 and len(known) < len(sizes):
        raise DataError(
            f"sample: the state {node.label!r} starts with a number, but its shape {shape_text(node.shape)} is not "
            f"known: give an array, or declare it with numbers\n  declared at {node.site}",
            node=node,
            site=node.site,
        )
    if array.ndim == 0:
        return numpy.full(known, value, dtype=dtype if node.is_float else "int32")
    fits = [not isinstance(size, int) or size == extent for size, extent in zip(sizes, array.shape, strict=False)]
    if array.ndim != len(sizes) or not all(fits):
        raise DataError(
            f"sample: the state {node.label!r} starts with shape {array.shape}, expected {shape_text(tuple(sizes))}\n"
            f"  declared as {shape_text(node.shape)} at {node.site}\n  Try: a number, such as {{{node.label!r}: 0}}",
            node=node,
            site=node.site,
        )
    return array


# ---- one step ----------------------------------------------------------------------------------------------


def _followed(states: Mapping[str, Array], following: list[Array], number: int) -> dict[str, Array]:
    for (name, old), new in zip(states.items(), following, strict=True):
        if old.shape != new.shape:
            raise DataError(
                f"sample: behind step {number} the state {name!r} has shape {new.shape}, before it {old.shape}; "
                f"the new states must be in the order of state: {', '.join(states)}"
            )
    return dict(zip(states, following, strict=True))


def _draw(scores: Array, heat: float, generator: numpy.random.Generator, number: int) -> Array:
    """One token for each row of scores."""
    if not numpy.isfinite(scores).all():
        raise DataError(f"sample: the scores of step {number} are not finite; the parameters are not usable")
    if heat == 0:
        return scores.argmax(axis=1)
    # float64, and the largest score at 0: a small temperature cannot overflow
    shifted = scores.astype("float64") - scores.max(axis=1, keepdims=True)
    with numpy.errstate(over="ignore"):
        sums = numpy.exp(shifted / heat).cumsum(axis=1)
    chosen = generator.random(len(sums)) * sums[:, -1]
    return (sums <= chosen[:, None]).sum(axis=1)
