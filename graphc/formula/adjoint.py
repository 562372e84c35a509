"""Adjoints: from a formula and one of its inputs to the formula of that input's gradient.

The adjoint of a statement with respect to a read swaps that read with the write (a *scatter*):
``y[w(i)] += f(x[r(i)])`` becomes ``dx[r(i)] += dy[w(i)] * f'(x[r(i)])``. Affine indices stay affine, so
adjoints are formulas again and can be differentiated again. `graphc.formula.gather` turns a scatter into
the race-free gather form.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from graphc.formula.deviations import cancels
from graphc.formula.expression import ONE, ZERO, Call, Expression, Symbol, call, symbols
from graphc.formula.statement import (
    Access,
    Affine,
    Formula,
    Gather,
    Guard,
    Interval,
    Statement,
    Wins,
    fresh,
    size_name,
)
from graphc.formula.symbolic import derivative

__all__ = ["Adjoint", "Operand", "Sweep", "adjoint"]


@dataclass(frozen=True, slots=True)
class Operand:
    """What an input of an adjoint formula is bound to.

    ``role`` is ``"input"``, ``"output"`` or ``"upstream"`` (the gradient that arrives) of ``tensor`` of the original
    formula.
    """

    role: str
    tensor: str


@dataclass(frozen=True)
class Adjoint:
    """Formula of one input's gradient. ``operands[k]`` says what ``formula.inputs[k]`` is bound to."""

    formula: Formula
    operands: tuple[Operand, ...]


def adjoint(formula: Formula, wrt: str, upstream: Collection[str] | None = None) -> Adjoint | None:
    """Derive the gradient of input ``wrt``; None where it is zero.

    Parameters
    ----------
    upstream : collection of str, optional
        Outputs that have an upstream gradient (the others count as unused); by default all.

    Raises
    ------
    DerivativeError
        If a statement has no derivative in the language.
    """
    chosen = tuple(o for o in formula.outputs if upstream is None or o in upstream)
    return _adjoint(formula, wrt, chosen)


class Sweep:
    """Adjoint statements of a formula, from the last statement to the first."""

    def __init__(self, formula: Formula, wrt: str, upstream: tuple[str, ...]) -> None:
        self.formula = formula
        self.used = set(formula.ranks)
        self.gradient: dict[str, str] = {}  # tensor -> tensor of its gradient
        self.ranks: dict[str, int] = {}
        self.extents: dict[str, Expression] = {}
        self.statements: list[Statement] = []
        self.integers: set[str] = set()
        self.written: set[str] = set()
        self.winners: dict[int, str] = {}
        self.products: dict[int, tuple[str, str]] = {}
        self.affected = {wrt}
        for statement in formula.statements:
            reads = {a.tensor for _, a in statement.reads}
            if reads & self.affected and statement.operator not in ("argmax", "argmin"):
                self.affected.add(statement.write.tensor)
        for output in upstream:
            self.name_gradient(output)

    def name_gradient(self, tensor: str) -> str:
        """Return the name of a tensor's gradient."""
        if tensor not in self.gradient:
            name = fresh("d" + tensor, self.used)
            self.used.add(name)
            self.gradient[tensor] = name
            self.like(name, tensor)
        return self.gradient[tensor]

    def like(self, name: str, tensor: str) -> None:
        """Enter a new tensor with the shape of another."""
        self.ranks[name] = self.formula.ranks[tensor]
        for d in range(self.ranks[name]):
            self.extents[size_name(name, d)] = Symbol(size_name(tensor, d))

    def statement(self, number: int) -> None:
        """Emit the adjoints of a statement, one for each read that leads to what is asked for."""
        s = self.formula.statements[number]
        target = s.write.tensor
        if target not in self.gradient or target not in self.affected:
            return
        if s.operator in ("argmax", "argmin"):
            return
        for placeholder, access in s.reads:
            if access.tensor in self.formula.integers or access.tensor not in self.affected:
                continue
            reads = dict(s.reads)
            slope = self.slope(s, placeholder, reads)
            if slope == ZERO or cancels(self.formula, s, placeholder, slope):
                continue
            self.emit(number, s, access, slope, reads)

    def slope(self, s: Statement, placeholder: str, reads: dict[str, Access]) -> Expression:
        """Derivative of a body by a placeholder; what it needs beside the reads of the statement is entered there."""
        del reads
        return derivative(s.body, placeholder)

    def emit(self, number: int, s: Statement, access: Access, slope: Expression, reads: dict[str, Access]) -> None:
        """Swap a read with the write."""
        target = s.write.tensor
        guards: list[Guard] = list(s.guards)
        # placeholders and axes share one environment: an axis g must not be hidden by a placeholder g
        taken = {axis.name for axis in s.axes} | {let.name for let in s.lets}
        upstream = fresh("g", reads.keys() | taken)
        reads[upstream] = Access(self.gradient[target], s.write.index, "forbidden", s.write.flat)
        body = Symbol(upstream)
        if s.operator in ("max", "min"):
            guards.append(self.winner(number, s))
        elif s.operator == "logsumexp":
            result = fresh(target, reads.keys() | taken)
            reads[result] = s.write
            body = call("mul", body, call("exp", call("sub", s.body, Symbol(result))))
        elif s.operator == "prod":
            body = call("mul", body, self.product_of_others(number, s, reads))
        body = call("mul", body, slope)
        if access.outside != "forbidden":
            extents = {axis.name: axis.extent for axis in s.axes}
            for dimension, item in enumerate(access.index):
                if isinstance(item, Affine):
                    guard = Interval(item, Affine(((size_name(access.tensor, dimension), 1),)))
                    runs_over = item.plain() in extents and extents[item.plain() or ""] == guard.upper
                    if guard not in guards and not runs_over:
                        guards.append(guard)
        used = set(symbols(body))
        tensor = self.name_gradient(access.tensor)
        kept = tuple((p, a) for p, a in reads.items() if p in used)
        # an axis that the derivative no longer mentions still counts its repetitions: axes stay
        self.statements.append(
            Statement(
                Access(tensor, access.index, "forbidden", access.flat),
                "sum",
                s.axes,
                kept,
                body,
                tuple(guards),
                s.lets,
                tensor in self.written,
            )
        )
        self.written.add(tensor)

    def winner(self, number: int, s: Statement) -> Wins:
        """Position of the winner as a temporary: first at a tie."""
        if number not in self.winners:
            name = fresh("winner", self.used)
            self.used.add(name)
            self.winners[number] = name
            self.like(name, s.write.tensor)
            self.integers.add(name)
            write = Access(name, s.write.index, s.write.outside, s.write.flat)
            operator = {"max": "argmax", "min": "argmin"}[s.operator]
            self.statements.append(Statement(write, operator, s.axes, s.reads, s.body, s.guards, s.lets))
        axes = tuple((Affine(((a, 1),)), s.extent(a)) for a in s.reduced())
        return Wins(Access(self.winners[number], s.write.index), axes)

    def product_of_others(self, number: int, s: Statement, reads: dict[str, Access]) -> Expression:
        """Product of all factors but one, right where factors are zero: two temporaries, no division by zero.

        ``zeros`` counts the factors that are 0 and ``rest`` multiplies the others. The result is ``rest / factor``
        without zeros, ``rest`` at a single zero, else 0.
        """
        is_zero = Call("equal", (s.body, ZERO))
        if number not in self.products:
            names = []
            for stem, operator, body in (
                ("zeros", "sum", Call("select", (is_zero, ONE, ZERO))),
                ("rest", "prod", Call("select", (is_zero, ONE, s.body))),
            ):
                name = fresh(stem, self.used)
                self.used.add(name)
                self.like(name, s.write.tensor)
                write = Access(name, s.write.index, s.write.outside, s.write.flat)
                self.statements.append(Statement(write, operator, s.axes, s.reads, body, s.guards, s.lets))
                names.append(name)
            self.products[number] = (names[0], names[1])
        symbols_of = []
        for name in self.products[number]:
            placeholder = fresh(name, reads)
            reads[placeholder] = Access(name, s.write.index)
            symbols_of.append(Symbol(placeholder))
        zeros, rest = symbols_of
        factor = Call("select", (is_zero, ONE, s.body))  # never divides by zero
        alone = Call("select", (Call("equal", (zeros, ONE)), rest, ZERO))
        others = Call("select", (Call("equal", (zeros, ZERO)), call("div", rest, factor), ZERO))
        return Call("select", (is_zero, alone, others))

    def recomputed(self) -> list[Statement]:
        """Forward statements of temporaries that the adjoint reads."""
        temporaries = set(self.formula.temporaries())
        needed: set[str] = set()
        work = [t for s in self.statements for t in s.tensors() if t in temporaries]
        while work:
            tensor = work.pop()
            if tensor in needed:
                continue
            needed.add(tensor)
            for s in self.formula.statements:
                if s.write.tensor == tensor:
                    work += [t for t in s.tensors() if t in temporaries]
        return [s for s in self.formula.statements if s.write.tensor in needed]


@lru_cache(maxsize=4096)
def _adjoint(formula: Formula, wrt: str, upstream: tuple[str, ...]) -> Adjoint | None:
    sweep = Sweep(formula, wrt, upstream)
    for number in reversed(range(len(formula.statements))):
        sweep.statement(number)
    result = sweep.gradient.get(wrt)
    if result is None or result not in sweep.written:
        return None
    # gradients of temporaries that do not reach wrt were never needed; keep only what result depends on
    body = _needed([*sweep.recomputed(), *sweep.statements], result)
    read = dict.fromkeys(t for s in body for t in s.tensors())
    written = {s.write.tensor for s in body}
    inverse = {name: tensor for tensor, name in sweep.gradient.items()}
    operands: list[tuple[str, Operand]] = []
    for tensor in read:
        if tensor in written:
            continue
        if tensor in formula.inputs:
            operands.append((tensor, Operand("input", tensor)))
        elif tensor in inverse:
            operands.append((tensor, Operand("upstream", inverse[tensor])))
        else:
            operands.append((tensor, Operand("output", tensor)))
    order = {"upstream": 0, "input": 1, "output": 2}
    operands.sort(key=lambda item: (order[item[1].role], _position(formula, item[1])))
    ranks = {t: formula.ranks.get(t, sweep.ranks.get(t, 0)) for t in (*read, *written)}
    extents = {**formula.extents, **sweep.extents}
    kept = {
        size_name(t, d): extents[size_name(t, d)]
        for t in written
        for d in range(ranks[t])
        if size_name(t, d) in extents
    }
    derived = Formula(
        f"{formula.name}.{result}",
        tuple(name for name, _ in operands),
        (result,),
        tuple(body),
        ranks,
        kept,
        (formula.integers & set(ranks)) | (sweep.integers & set(ranks)),
    )
    return Adjoint(derived, tuple(operand for _, operand in operands))


def _position(formula: Formula, operand: Operand) -> int:
    names = formula.inputs if operand.role == "input" else formula.outputs
    return names.index(operand.tensor) if operand.tensor in names else 0


def _needed(statements: list[Statement], result: str) -> list[Statement]:
    needed = {result}
    kept: list[Statement] = []
    for statement in reversed(statements):
        if statement.write.tensor in needed:
            needed |= set(statement.tensors())
            kept.append(statement)
    kept.reverse()
    return kept


def gathers(access: Access) -> bool:
    """Whether an access has a data-dependent index."""
    return any(isinstance(item, Gather) for item in access.index)
