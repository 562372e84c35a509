"""Formulas over any numbers: statement by statement, over small arrays, with subgradient ranges where asked.

`graphc.graph.reference` is float64; this evaluator also runs on arrays of exact numbers, and sends ranges of upstream
gradients through adjoints: at a tie every slope between those on either side is possible.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy

from graphc.checking.numbers import Numbers
from graphc.checking.precise import OutsideDomain
from graphc.formula.expression import ZERO, Call, Expression, Symbol, evaluate, symbols
from graphc.formula.statement import (
    NEUTRAL,
    Access,
    Affine,
    Divides,
    Formula,
    Gather,
    Interval,
    Statement,
    Wins,
    Zero,
    neutral,
)
from graphc.formula.statement import size_name as size_of
from graphc.graph.reference import at_step

__all__ = ["KINKS", "Program", "Step", "kinks"]

#: Functions with a kink; floordiv has steps, but no slope beside them.
KINKS = frozenset({"max", "min", "abs", "sign", "select"})

_RELATIONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"})

#: Largest iteration domain of a statement.
MOST_POINTS = 1 << 23

Array = numpy.ndarray


class Program:
    """A formula with all sizes known.

    Parameters
    ----------
    upstream : iterable of str
        Inputs that hold gradients; the statements that read them, or what is computed from them, are linear in them.
    known : collection of Statement
        Statements whose results may be handed in as inputs: then they are not run again.

    Attributes
    ----------
    points : int
        Points of the iteration domains of all statements: what a run costs.
    """

    def __init__(
        self,
        formula: Formula,
        sizes: Mapping[str, int],
        upstream: Iterable[str] = (),
        known: Collection[Statement] = (),
    ) -> None:
        self.formula, self.sizes = formula, dict(sizes)
        self.upstream = tuple(upstream)
        flagged = set(self.upstream)
        self.groups: list[list[Step]] = []
        self.points = 0
        for repeat, statements in formula.groups():
            linear = {s.write.tensor for s in statements if flagged & set(s.tensors())}
            flagged |= linear
            if repeat is None:
                self.groups.append([Step(s, self.sizes, formula, flagged) for s in statements])
                continue
            count = statements[0].extent(repeat.axis).value(self.sizes) if statements else 0
            while True:  # a cycle may carry a gradient into a statement that stands before it
                more = {s.write.tensor for s in statements if flagged & set(s.tensors())} - flagged
                if not more:
                    break
                flagged |= more
            group = [Step(s, self.sizes, formula, flagged, declares=True) for s in statements]
            for step in reversed(range(count)) if repeat.backward else range(count):
                group += [
                    Step(at_step(s, repeat.axis, step), self.sizes, formula, flagged, repeated=True) for s in statements
                ]
            self.groups.append(group)
        again = set(known)
        for step in (step for group in self.groups for step in group):
            step.known = bool(again) and step.statement in again
        self.points = sum(step.size for group in self.groups for step in group)

    def run(self, inputs: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
        """Value of every tensor, temporaries included."""
        tensors: dict[str, Any] = {name: _as_array(value) for name, value in inputs.items()}
        with numpy.errstate(all="ignore"):
            for group in self.groups:
                for step in group:
                    if step.known and step.target in inputs:
                        continue
                    step.prepare(tensors, numbers)
                    if not step.declares:
                        step.run(tensors, numbers)
        return tensors

    def run_ranges(
        self,
        inputs: Mapping[str, Any],
        ranges: Mapping[str, tuple[Any, Any]],
        numbers: Numbers,
        *,
        sided: bool = True,
    ) -> dict[str, tuple[Any, Any]]:
        """Range of every tensor that depends on upstream gradients, given theirs.

        Parameters
        ----------
        inputs : mapping
            Everything but upstream gradients.
        sided : bool
            Whether slopes at ties have ranges too.
        """
        tensors: dict[str, Any] = {name: _as_array(value) for name, value in inputs.items()}
        lows = {name: _as_array(low) for name, (low, _) in ranges.items()}
        highs = {name: _as_array(high) for name, (_, high) in ranges.items()}
        with numpy.errstate(all="ignore"):
            for group in self.groups:
                for step in group:
                    if step.known and step.target in inputs:
                        continue
                    if step.placeholder is None and step.target not in lows:
                        step.prepare(tensors, numbers)
                        if not step.declares:
                            step.run(tensors, numbers, sets=sided)
                        continue
                    step.prepare(lows, numbers)
                    step.prepare(highs, numbers)
                    if not step.declares:
                        step.run_range(tensors, lows, highs, numbers, sided=sided)
        return {name: (lows[name], highs[name]) for name in lows}


def _as_array(value: Any) -> Array:
    if isinstance(value, numpy.ndarray):
        return value
    result = numpy.empty((), dtype=object if not isinstance(value, int | float) else None)
    result[()] = value
    return result


def _outside_comparisons(body: Expression) -> set[str]:
    """Symbols that a body computes with, other than by comparing them."""
    if isinstance(body, Symbol):
        return {body.name}
    if not isinstance(body, Call):
        return set()
    operands = body.operands
    if body.function in _RELATIONS:
        operands = tuple(o for o in operands if not isinstance(o, Symbol))
    return {name for operand in operands for name in _outside_comparisons(operand)}


def _functions(body: Expression) -> set[str]:
    if not isinstance(body, Call):
        return set()
    return {body.function}.union(*(_functions(o) for o in body.operands))


def kinks(expression: Expression) -> Iterator[tuple[Expression, Expression]]:
    """Yield pairs of expressions whose equality is a kink: operands of max and min, of comparisons, abs."""
    if not isinstance(expression, Call):
        return
    if expression.function in ("max", "min", "less", "less_equal", "greater", "greater_equal"):
        yield expression.operands[0], expression.operands[1]
    elif expression.function in ("abs", "sign"):
        yield expression.operands[0], ZERO
    for operand in expression.operands:
        yield from kinks(operand)


class Step:
    """One statement, with everything computed ahead that does not depend on values."""

    def __init__(
        self,
        statement: Statement,
        sizes: Mapping[str, int],
        formula: Formula,
        flagged: set[str],
        *,
        declares: bool = False,
        repeated: bool = False,
    ) -> None:
        s = self.statement = statement
        self.sizes = sizes
        self.target = s.write.tensor
        self.rank = formula.ranks[self.target]
        self.declares = declares  # only makes the tensor that steps of a repeat write into
        self.resets = not (repeated or s.accumulate or s.partial)
        self.known = False
        self.integer = self.target in formula.integers
        self.shape = tuple(sizes[size_of(self.target, d)] for d in range(self.rank))
        self.extents = tuple(axis.extent.value(sizes) for axis in s.axes)
        self.empty = any(extent <= 0 for extent in self.extents)
        self.size = 0 if self.empty or declares else math.prod(self.extents)
        linear = [p for p, a in s.reads if a.tensor in flagged]
        self.placeholder = linear[0] if linear else None
        self.kinked = bool(_functions(s.body) & (KINKS | _RELATIONS))
        if declares or self.empty:
            return
        if self.size > MOST_POINTS:
            raise OutsideDomain(f"{self.size} products or terms are too many to be checked")
        self.axes: dict[str, Any] = dict(sizes)
        rank = len(self.extents)
        for k, (axis, extent) in enumerate(zip(s.axes, self.extents, strict=True)):
            shape = [1] * rank
            shape[k] = extent
            self.axes[axis.name] = numpy.arange(extent).reshape(shape)
        for let in s.lets:
            self.axes[let.name] = let.numerator.value(self.axes) // let.divisor
        self.mask: Any = None
        self.wins = [guard for guard in s.guards if isinstance(guard, Wins)]
        for guard in s.guards:
            if isinstance(guard, Interval):
                index = guard.index.value(self.axes)
                holds = (index >= 0) & (index < guard.upper.value(self.axes))
            elif isinstance(guard, Divides):
                holds = guard.index.value(self.axes) % guard.divisor == 0
            elif isinstance(guard, Zero):
                holds = guard.index.value(self.axes) == 0
            else:
                continue
            self.mask = holds if self.mask is None else self.mask & holds
        self.guarded = self.mask is not None or bool(self.wins)
        names = set(symbols(s.body)) - {p for p, _ in s.reads}
        self.positions = {name: self.axes[name] for name in names if name in self.axes}
        self.arithmetic = _outside_comparisons(s.body)
        whole = set(self.positions) | {p for p, a in s.reads if a.tensor in formula.integers}
        # a comparison of positions chooses where, not how: the mask of what lies ahead is no kink
        self.pairs = [(a, b) for a, b in kinks(s.body) if not set(symbols(a)) | set(symbols(b)) <= whole]
        self.static = {p: self.index(a) for p, a in s.reads if not any(isinstance(i, Gather) for i in a.index)}
        self.plan_write()

    # ---- where ---------------------------------------------------------------------------------------

    def index(self, access: Access) -> tuple[Any, ...]:
        """Index arrays of an access."""
        return tuple(item.value(self.axes) for item in access.index if isinstance(item, Affine))

    def plan_write(self) -> None:
        """See whether every point of the free axes writes an element of its own, and where."""
        s = self.statement
        names = [axis.name for axis in s.axes]
        stops = dict(zip(names, self.extents, strict=True))
        plain = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
        fits = all(
            not isinstance(item, Affine) or stops.get(item.plain() or "", 0) <= extent
            for item, extent in zip(s.write.index, self.shape, strict=False)
        )
        self.direct = s.race_free() and not s.write.flat and fits
        if not self.direct:
            return
        free = [name for name in plain if name in names]
        self.reduced = tuple(k for k, name in enumerate(names) if name not in free)
        kept = [name for name in names if name in free]
        order = [kept.index(name or "") for name in free]
        self.order = None if order == sorted(order) else order
        self.where = tuple(
            slice(0, stops[item.plain() or ""]) if item.plain() in stops else item.value(self.axes)
            for item in s.write.index
            if isinstance(item, Affine)
        )

    # ---- running -------------------------------------------------------------------------------------

    def prepare(self, tensors: dict[str, Any], numbers: Numbers) -> None:
        """Make the tensor that is written, or leave the one that is added to."""
        if self.target in tensors and not self.resets:
            return
        operator = self.statement.operator
        if self.integer:  # sets of winners are numbers of any length
            kind = object if "arg" in operator else "int64"
            tensors[self.target] = numpy.full(self.shape, int(neutral(operator, whole=True)), dtype=kind)
            return
        filled = numpy.empty(self.shape, dtype=numbers.dtype)
        filled.fill(numbers.literal(NEUTRAL[operator]))
        tensors[self.target] = filled

    def environment(self, tensors: Mapping[str, Any], numbers: Numbers, skip: str | None = None) -> dict[str, Any]:
        """Values of everything that the body names."""
        found: dict[str, Any] = {}
        for name, value in self.positions.items():
            if isinstance(value, numpy.ndarray):
                found[name] = numbers.array(value) if name in self.arithmetic else numbers.whole(value)
            else:
                found[name] = numbers.number(value) if name in self.arithmetic else value
        for placeholder, access in self.statement.reads:
            if placeholder == skip:
                continue
            value = self.read(placeholder, access, tensors, numbers)
            whole = isinstance(value, numpy.ndarray) and value.dtype.kind == "i"
            if whole and placeholder in self.arithmetic:
                value = numbers.array(value)
            found[placeholder] = value
        return found

    def read(self, placeholder: str | None, access: Access, tensors: Mapping[str, Any], numbers: Numbers) -> Any:
        """Values of an access at every point of the domain."""
        array = tensors[access.tensor]
        if access.flat:
            array = array.reshape(-1)
        if not access.index:
            return array[()]
        indices = []
        valid: Any = None
        static = self.static.get(placeholder) if placeholder is not None else None
        for d, item in enumerate(access.index):
            if static is not None:
                position = static[d]
            elif isinstance(item, Affine):
                position = item.value(self.axes)
            else:
                position = self.gathered(item, tensors, numbers, array.shape[d])
            if access.outside == "zero":
                inside = (position >= 0) & (position < array.shape[d])
                valid = inside if valid is None else valid & inside
            if access.outside == "zero" or self.guarded:
                position = numpy.clip(position, 0, max(array.shape[d] - 1, 0))
            indices.append(position)
        value = array[tuple(indices)]
        if valid is None or bool(numpy.all(valid)):
            return value
        zero: Any = 0 if array.dtype.kind == "i" else numbers.literal(0)
        return numpy.where(valid, value, zero)

    def gathered(self, item: Gather, tensors: Mapping[str, Any], numbers: Numbers, extent: int) -> Any:
        """Positions that a tensor of whole numbers holds.

        Raises
        ------
        OutsideDomain
            If one is out of range.
        """
        position = numpy.asarray(self.read(None, item.access, tensors, numbers))
        position = position.astype("int64")
        if position.size and (position.min() < 0 or position.max() >= extent):
            raise OutsideDomain("an index out of range")
        return position

    def place(self, guard: Wins) -> Any:
        """Row-major position of every point among the axes of a winner."""
        position: Any = 0
        for index, extent in guard.axes:
            position = position * extent.value(self.axes) + index.value(self.axes)
        return position

    def masked(self, tensors: Mapping[str, Any], numbers: Numbers) -> Any:
        """Points that pass every guard."""
        mask = self.mask
        for guard in self.wins:
            winner = self.read(None, guard.access, tensors, numbers)
            holds = winner == self.place(guard)
            mask = holds if mask is None else mask & holds
        return mask

    def tied(self, tensors: Mapping[str, Any], numbers: Numbers) -> bool:
        """Whether a kink of the body, or of the largest of several, is met exactly."""
        extreme = self.statement.operator in ("max", "min")
        if self.empty or self.declares or not (self.pairs or extreme):
            return False
        environment = self.environment(tensors, numbers)
        mask = self.masked(tensors, numbers)
        for a, b in self.pairs:
            sides = (evaluate(side, environment, numbers.functions, numbers.literal) for side in (a, b))
            equal = numbers.near(*sides)
            if bool(numpy.any(equal if mask is None else equal & mask)):
                return True
        if not extreme:
            return False
        body = self.spread(self.body(environment, numbers.functions, numbers), numbers)
        if not self.direct:
            return True  # rare, and a range never accuses anybody
        axes = self.reduced
        largest = self.statement.operator == "max"
        best = body.max(axis=axes, keepdims=True) if largest else body.min(axis=axes, keepdims=True)
        equal = numpy.asarray(numbers.near(body, best)).astype(bool)
        if mask is not None:
            equal &= numpy.broadcast_to(mask, equal.shape)
        return bool((equal.sum(axis=axes) > 1).any())

    def count_of_differences(self) -> int:
        """How many differences `differences` gives."""
        if self.empty or self.declares:
            return 0
        several = self.direct and math.prod(self.extents[k] for k in self.reduced) > 1
        return len(self.pairs) + (several and self.statement.operator in ("max", "min"))

    def differences(self, tensors: Mapping[str, Any], numbers: Numbers) -> list[tuple[Array, list[int]]]:
        """What vanishes on kinks, and which entries are worth a look here.

        For a maximum over several these are the differences of any two of them: a look is worth that of the largest
        two, in the first and in the last row.
        """
        extreme = self.statement.operator in ("max", "min") and self.direct if not self.empty else False
        if self.empty or self.declares or not (self.pairs or extreme):
            return []
        environment = self.environment(tensors, numbers)
        found = []
        for pair in self.pairs:
            a, b = (evaluate(side, environment, numbers.functions, numbers.literal) for side in pair)
            difference = self.spread(a - b, numbers).reshape(-1)
            found.append((difference, sorted({0, len(difference) - 1})))
        if extreme and math.prod(self.extents[k] for k in self.reduced) > 1:
            body = self.spread(self.body(environment, numbers.functions, numbers), numbers)
            moved = numpy.moveaxis(body, self.reduced, tuple(range(body.ndim - len(self.reduced), body.ndim)))
            rows = moved.reshape(-1, math.prod(self.extents[k] for k in self.reduced))
            count = rows.shape[1]
            differences = (rows[:, :, None] - rows[:, None, :]).reshape(-1)
            order = numpy.argsort(rows.astype(float), axis=1)
            best = order[:, ::-1] if self.statement.operator == "max" else order
            looks = [(r * count + int(best[r, 0])) * count + int(best[r, 1]) for r in sorted({0, len(rows) - 1})]
            found.append((differences, looks))
        return found

    def body(self, environment: Mapping[str, Any], functions: Mapping[str, Any], numbers: Numbers) -> Any:
        """Value of the body, as far as it is not the same at every point."""
        return evaluate(self.statement.body, environment, functions, numbers.literal)

    def spread(self, value: Any, numbers: Numbers) -> Array:
        """A body's value over the whole domain."""
        if not isinstance(value, numpy.ndarray):
            filled = numpy.empty(self.extents, dtype=numbers.dtype)
            filled.fill(value)
            return filled
        if value.dtype != numbers.dtype:
            value = numbers.array(value)
        return numpy.broadcast_to(value, self.extents)

    def run(self, tensors: dict[str, Any], numbers: Numbers, *, sets: bool = False) -> None:
        """Run the statement; with ``sets`` an argument of the largest is the set of all winners, as a bit mask."""
        if self.empty:
            return
        mask = self.masked(tensors, numbers)
        body = self.body(self.environment(tensors, numbers), numbers.functions, numbers)
        self.write(tensors[self.target], tensors, self.spread(body, numbers), mask, numbers, sets=sets)

    def run_range(
        self,
        tensors: Mapping[str, Any],
        lows: dict[str, Any],
        highs: dict[str, Any],
        numbers: Numbers,
        *,
        sided: bool,
    ) -> None:
        """Run a statement that is linear in an upstream gradient, on ranges."""
        if self.empty or self.placeholder is None:
            return
        s, p = self.statement, self.placeholder
        access = dict(s.reads)[p]
        low, high = (self.spread(self.read(p, access, side, numbers), numbers) for side in (lows, highs))
        environment = self.environment(tensors, numbers, skip=p)
        environment[p] = numbers.literal(1)
        slopes = [self.spread(self.body(environment, numbers.functions, numbers), numbers)]
        if self.kinked and sided:
            sides = (numbers.sided[side] for side in (-1, 1))
            slopes += [self.spread(self.body(environment, functions, numbers), numbers) for functions in sides]
        mask = self.mask
        zero = numbers.literal(0)
        for guard in self.wins:
            winner, place = self.read(None, guard.access, tensors, numbers), self.place(guard)
            if sided:
                some, alone = _among(winner, place)
                mask = some if mask is None else mask & some
                if not bool(numpy.all(alone | ~some)):
                    slopes.append(numpy.where(numpy.broadcast_to(alone, self.extents), slopes[0], zero))
            else:
                holds = winner == place
                mask = holds if mask is None else mask & holds
        products = [bound * slope for slope in slopes for bound in ((low,) if low is high else (low, high))]
        smallest, largest = products[0], products[0]
        for product in products[1:]:
            smallest, largest = numpy.minimum(smallest, product), numpy.maximum(largest, product)
        self.write(lows[self.target], tensors, smallest, mask, numbers)
        self.write(highs[self.target], tensors, largest, mask, numbers)

    def write(
        self,
        target: Array,
        tensors: Mapping[str, Any],
        body: Array,
        mask: Any,
        numbers: Numbers,
        *,
        sets: bool = False,
    ) -> None:
        """Combine what the body gives at every point into the tensor that is written."""
        operator = self.statement.operator
        if mask is not None:
            mask = numpy.broadcast_to(mask, self.extents)
            outside = numbers.literal(NEUTRAL[{"argmax": "max", "argmin": "min"}.get(operator, operator)])
            body = numpy.where(mask, body, outside)
        if self.direct:
            value = _reduced(operator, body, self.reduced, numbers, sets=sets)
            if self.order is not None:
                value = numpy.transpose(value, self.order)
            if self.integer and "arg" not in operator:
                value = value.astype("int64")
            if self.statement.partial:
                target[self.where] = value
            elif operator in ("sum", "prod"):
                target[self.where] = target[self.where] + value if operator == "sum" else target[self.where] * value
            elif operator in ("max", "min") and not numbers.formulas:
                choose = numpy.maximum if operator == "max" else numpy.minimum
                target[self.where] = choose(target[self.where], value)
            elif operator == "set" and self.statement.accumulate:
                target[self.where] = target[self.where] + value
            else:
                target[self.where] = value
            return
        self.scatter(target, tensors, body, mask, numbers)

    def scatter(self, target: Array, tensors: Mapping[str, Any], body: Array, mask: Any, numbers: Numbers) -> None:
        """Write elements one by one, where several points may meet."""
        s, operator = self.statement, self.statement.operator
        view = target.reshape(-1) if s.write.flat else target
        index = [
            item.value(self.axes) if isinstance(item, Affine) else self.gathered(item, tensors, numbers, view.shape[d])
            for d, item in enumerate(s.write.index)
        ]
        keep = slice(None) if mask is None else mask.reshape(-1)
        values = body.reshape(-1)[keep]
        where = tuple(p.reshape(-1)[keep] for p in numpy.broadcast_arrays(*index, body)[:-1]) if index else ()
        if not where:
            view[()] = view[()] + values.sum()
            return
        if s.partial:
            view[where] = numbers.literal(0)
        if operator == "sum" or (operator == "set" and s.accumulate):
            numpy.add.at(view, where, values)
        elif operator == "set":
            view[where] = values
        elif operator in ("max", "min", "prod"):
            {"max": numpy.maximum, "min": numpy.minimum, "prod": numpy.multiply}[operator].at(view, where, values)
        else:
            raise OutsideDomain(f"a {operator} cannot be written at {s.write}")


def _reduced(operator: str, body: Array, axes: tuple[int, ...], numbers: Numbers, *, sets: bool) -> Any:
    if not axes and operator in ("set", "sum", "prod", "max", "min"):
        return body
    if numbers.formulas and operator in ("max", "min"):
        # which is the largest is not known; what depends on it only as a shift that cancels is right for any value
        from graphc.checking.terms import unknown

        return unknown(tuple(extent for k, extent in enumerate(body.shape) if k not in axes))
    if operator in ("set", "sum"):
        return body.sum(axis=axes)
    if operator == "prod":
        return body.prod(axis=axes)
    if operator == "max":
        return body.max(axis=axes)
    if operator == "min":
        return body.min(axis=axes)
    if operator == "logsumexp":
        exponential, logarithm = numbers.functions["exp"], numbers.functions["log"]
        if numbers.formulas:
            return logarithm(exponential(body).sum(axis=axes))
        top = body.max(axis=axes, keepdims=True)
        total = exponential(body - top).sum(axis=axes)
        return numpy.squeeze(top, axes) + logarithm(total)
    moved = numpy.moveaxis(body, axes, tuple(range(body.ndim - len(axes), body.ndim)))
    flat = moved.reshape((*moved.shape[: body.ndim - len(axes)], -1))
    if not sets:
        return flat.argmax(axis=-1) if operator == "argmax" else flat.argmin(axis=-1)
    best = flat.max(axis=-1, keepdims=True) if operator == "argmax" else flat.min(axis=-1, keepdims=True)
    bits = numpy.array([1 << k for k in range(flat.shape[-1])], dtype=object)
    return numpy.where(numpy.asarray(numbers.near(flat, best)).astype(bool), bits, 0).sum(axis=-1)


def _among(winner: Any, place: Any) -> tuple[Any, Any]:
    """Whether a place is among the winners of a bit mask, and whether it is the only one."""
    bit = numpy.frompyfunc(lambda mask, k: bool((mask >> k) & 1), 2, 1)
    only = numpy.frompyfunc(lambda mask, k: mask == 1 << k, 2, 1)
    return numpy.asarray(bit(winner, place)).astype(bool), numpy.asarray(only(winner, place)).astype(bool)
