"""Statements with their choices held: what is recorded at a point, and the smooth statement that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from graphc.formula.expression import ONE, ZERO, Call, Expression, Symbol, symbols
from graphc.formula.statement import Access, Affine, Formula, Statement, fresh

__all__ = ["NEAR", "Kink", "Line", "lines", "read"]

#: Symbol that stands in tie tests for the distance at which two values count as equal.
NEAR = "near!"

_RELATIONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"})
_STEPS = _RELATIONS | {"sign", "floordiv", "and", "or", "not"}


@dataclass(frozen=True)
class Kink:
    """One choice of a statement: where it is kept, what fills it, and what tells a tie."""

    name: str
    kind: str  # "branch" (1 or 0), "sign" (1, 0, -1), "winner" (1 at one of several) or "value" (has no slope)
    record: Expression
    tie: Expression | None


@dataclass(frozen=True)
class Line:
    """A statement as declared, the choices in it, and the same statement with the choices held."""

    declared: Statement
    kinks: tuple[Kink, ...]
    held: Statement
    winner: str = ""  # temporary with the position of the winner, where the statement is a max or a min
    result: str = ""  # placeholder of that maximum in the test for ties


@lru_cache(maxsize=1024)
def lines(formula: Formula) -> tuple[Line, ...]:
    """Split every statement of a formula into choices and a smooth rest."""
    used = set(formula.ranks)
    found = []
    for statement in formula.statements:
        floats = {p for p, a in statement.reads if a.tensor not in formula.integers}
        taken = {p for p, _ in statement.reads} | {a.name for a in statement.axes} | {x.name for x in statement.lets}
        kinks: list[Kink] = []

        def new(
            kind: str,
            record: Expression,
            tie: Expression | None,
            kinks: list[Kink] = kinks,
            taken: set[str] = taken,
            used: set[str] = used,
        ) -> Symbol:
            name = fresh("choice", used | taken)
            used.add(name)
            kinks.append(Kink(name, kind, record, tie))
            return Symbol(name)

        body = _held(statement.body, floats, new)
        operator, winner, result = statement.operator, "", ""
        if operator in ("max", "min") and floats & set(symbols(statement.body)):
            winner = fresh("winner", used)
            result = fresh("result", used | taken | {winner})
            used |= {winner, result}
            weight = new("winner", ONE, _close(Symbol(result), statement.body))
            body, operator = Call("select", (weight, body, ZERO)), "sum"
        places = tuple(Affine(((axis.name, 1),)) for axis in statement.axes)
        reads = (*statement.reads, *((kink.name, Access(kink.name, places)) for kink in kinks))
        held = Statement(
            statement.write,
            operator,
            statement.axes,
            read(reads, body),
            body,
            statement.guards,
            statement.lets,
            statement.accumulate,
            statement.partial,
        )
        found.append(Line(statement, tuple(kinks), held, winner, result))
    return tuple(found)


def read(reads: Iterable[tuple[str, Access]], *bodies: Expression) -> tuple[tuple[str, Access], ...]:
    """Reads that some of the bodies use."""
    used = {name for body in bodies for name in symbols(body)}
    return tuple((p, a) for p, a in reads if p in used)


def _close(a: Expression, b: Expression) -> Expression:
    return Call("less_equal", (Call("abs", (Call("sub", (a, b)),)), Symbol(NEAR)))


def _held(e: Expression, floats: set[str], new: Callable[..., Symbol]) -> Expression:
    """Replace every choice that depends on a float by a recorded one."""
    if not isinstance(e, Call) or not floats & set(symbols(e)):
        return e
    if e.function in _STEPS:
        return new("value", e, None)
    if e.function in ("max", "min"):
        relation = "greater_equal" if e.function == "max" else "less_equal"
        choice = new("branch", Call(relation, e.operands), _close(*e.operands))
        return Call("select", (choice, *(_held(o, floats, new) for o in e.operands)))
    if e.function == "abs":
        choice = new("sign", Call("sign", e.operands), _close(e.operands[0], ZERO))
        return Call("mul", (choice, _held(e.operands[0], floats, new)))
    if e.function == "select" and floats & set(symbols(e.operands[0])):
        condition, *branches = e.operands
        choice = new("branch", Call("select", (condition, ONE, ZERO)), _tied(condition, floats))
        return Call("select", (choice, *(_held(o, floats, new) for o in branches)))
    return Call(e.function, tuple(_held(o, floats, new) for o in e.operands))


def _tied(condition: Expression, floats: set[str]) -> Expression | None:
    """Whether some comparison of floats in a condition is a tie."""
    if not isinstance(condition, Call):
        return None
    if condition.function in _RELATIONS and floats & set(symbols(condition)):
        return _close(*condition.operands)
    found = [tied for o in condition.operands if (tied := _tied(o, floats)) is not None]
    total: Expression | None = None
    for tied in found:
        total = tied if total is None else Call("or", (total, tied))
    return total
