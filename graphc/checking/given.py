"""Claims that are numbers at one point: what a worked example or a printed table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.claims import Claim, Names, read_claim
from graphc.checking.compare import DIGITS, Counterexample, apart, plain
from graphc.checking.fitting import misfit, shape_of_claim
from graphc.checking.points import Verdict
from graphc.checking.precise import OutsideDomain
from graphc.errors import CheckError, DataError, did_you_mean
from graphc.graph.node import Node
from graphc.graph.reference import bind_sizes, numeric_array

__all__ = ["given_point", "judge_at", "read_numbers", "sizes_at"]

#: Relative difference up to which a float is the same number.
_SAME = 1e-6

#: So many significant digits make a decimal a rounded result; with fewer it is a number in its own right.
_ROUNDED = range(2, 10)


def sizes_at(nodes: Sequence[Node], at: Mapping[Any, Any]) -> dict[str, int]:
    """Read the named sizes off the arrays of a point.

    Raises
    ------
    CheckError
        If a name is unknown or an array does not fit.
    """
    by_name = {n.label: n for n in nodes if n.application is None and n.kind not in ("constant", "mode")}
    values: dict[Node, Any] = {}
    for key, value in at.items():
        node = key if isinstance(key, Node) else by_name.get(key)
        if node is None:
            raise CheckError(
                f"at= names {key!r}, but no input or parameter has this name{did_you_mean(str(key), by_name)}; "
                f"there are {', '.join(by_name)}"
            )
        try:
            values[node] = numeric_array(node, value)
        except DataError as error:
            raise CheckError(f"at=: {error}", node=node, site=node.site) from None
    missing = [n for n in by_name.values() if n not in values]
    if missing:
        raise CheckError(
            f"at= has no value for {', '.join(repr(n.label) for n in missing)}; give every input and parameter",
            node=missing[0],
            site=missing[0].site,
        )
    try:
        return bind_sizes(values)
    except DataError as error:
        raise CheckError(f"at=: {error}") from None


def given_point(circuit: Circuit, at: Mapping[Any, Any]) -> dict[str, Any]:
    """A point of a circuit from numbers and arrays by name or node; a decimal means exactly that."""
    found: dict[str, Any] = {}
    by_label = {(k.label if isinstance(k, Node) else k): v for k, v in at.items()}
    for node in circuit.leaves:
        array = numpy.asarray(by_label[node.label])
        if not node.is_float and array.shape:
            found[circuit.keys[node.id]] = array.astype("int64")
            continue
        flat = [Fraction(repr(float(v))) for v in array.reshape(-1).tolist()]
        exact = numpy.empty(len(flat), dtype=object)
        exact[:] = flat
        found[circuit.keys[node.id]] = exact.reshape(array.shape) if array.shape else flat[0]
    return found


def read_numbers(target: Node, given: Any, names: Names) -> tuple[Claim, Any]:
    """Read a claim that may be numbers; the second result holds them, or is None.

    Raises
    ------
    CheckError
        If it is neither numbers nor anything that `read_claim` reads.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | list | tuple | numpy.ndarray | numpy.generic):
        return read_claim(target, given, names), None
    try:
        array = numpy.asarray(given)
    except ValueError as error:
        raise CheckError(f"the claim for {target.label!r} is no array: {error}", node=target) from None
    if array.dtype.kind not in "fiu":
        raise CheckError(f"the claim for {target.label!r} holds {array.dtype}, not numbers", node=target)
    text = numpy.array2string(array, separator=", ", threshold=50) if array.shape else repr(given)
    return Claim(target, " ".join(text.split())), array


def judge_at(circuit: Circuit, claims: Sequence[tuple[Claim, Any]], at: Mapping[Any, Any]) -> list[Verdict]:
    """Compare claims with the gradients at one point.

    Raises
    ------
    CheckError
        If the graph has no real value there.
    """
    import mpmath

    point = given_point(circuit, at)
    try:
        with mpmath.workdps(DIGITS):
            state = circuit.state(point, "exact" if circuit.operations() < 300_000 else "double")
    except OutsideDomain as error:
        raise CheckError(f"at this point the graph has no real value: {error}") from None
    return [_judged(circuit, claim, numbers, state) for claim, numbers in claims]


def _judged(circuit: Circuit, claim: Claim, numbers: Any, state: State) -> Verdict:
    import mpmath

    target = claim.target
    verdict = Verdict(points=1)
    wanted = circuit.shapes[target.id]
    slack: Any = 0.0
    if numbers is None:
        shape, problem = shape_of_claim(claim, circuit)
        if problem or (shape is not None and shape not in (wanted, ())):
            verdict.misfit = problem or misfit(claim, circuit, shape or ())
            return verdict
        environment = {n: state.values[v.id] for n, v in claim.nodes.items()}
        environment |= {n: state.gradients[v.id] for n, v in claim.upstream.items()}
        try:
            with mpmath.workdps(DIGITS):
                value = claim.value(environment, state.precision)
        except OutsideDomain:
            value = None
    else:
        value, slack = numbers.astype(float) if numbers.shape else float(numbers), _slack(numbers)
    if value is not None and numpy.shape(value) not in (wanted, ()):
        verdict.misfit = misfit(claim, circuit, numpy.shape(value))
        return verdict
    if value is not None:
        verdict.samples = [(state, value)]
    exactly = claim.expression is not None and state.precision == "exact"
    verdict.digits = 40 if exactly else 6
    where: tuple[int, ...] | None = (0,) * len(wanted)
    if value is not None:
        with mpmath.workdps(DIGITS):
            where = apart(value, state, target, mpmath.mpf(10) ** -40 if exactly else _SAME, slack)
    if where is None:
        return verdict
    correct = state.gradients[target.id]
    entry = numpy.broadcast_to(numpy.asarray(value, dtype=object), wanted)[where] if value is not None else None
    arrays = (plain(numpy.broadcast_to(numpy.asarray(value, dtype=object), wanted)), plain(correct)) if wanted else None
    bounds = state.intervals.get(target.id)
    interval = None if bounds is None else tuple(float(numpy.asarray(b, dtype=object)[where]) for b in bounds)
    verdict.counterexample = Counterexample(
        {name: plain(v) for name, v in state.point.items()},
        None if entry is None else float(entry),
        float(correct[where] if wanted else correct),
        None if interval is None or interval[0] == interval[1] else (interval[0], interval[1]),
        where if wanted else None,
        None if value is None else arrays,
    )
    return verdict


def _slack(numbers: numpy.ndarray) -> Any:
    """Half a unit of the last digit of every decimal that looks rounded."""
    if numbers.dtype.kind != "f":
        return 0.0
    units = [_half_unit(float(v)) for v in numbers.reshape(-1).tolist()]
    return numpy.array(units).reshape(numbers.shape) if numbers.shape else units[0]


def _half_unit(value: float) -> float:
    if not numpy.isfinite(value) or value == int(value):
        return 0.0
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    if len(digits) not in _ROUNDED or not isinstance(exponent, int):
        return 0.0
    return 0.5 * 10.0**exponent * (1 + 1e-9)
