"""Shapes of claims: the shape an expression has, or the operation whose operands do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.checking.language.shape_rules import RULES, broadcast, short
from graphc.checking.language.text import literal
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, Call, Expression, Number, Symbol
from graphc.formula.size import Extent
from graphc.graph.shapes import Shape, shape_text

__all__ = ["Shapes", "shape_of"]


def shape_of(expression: Expression, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of a claim.

    Parameters
    ----------
    shapes : mapping
        Shape of each name; extents may be named sizes. Names that are not given are scalars.

    Raises
    ------
    CheckError
        If the operands of an operation do not fit, naming it and their shapes; ``error.shapes`` holds them.
    """
    return Shapes(shapes).of(expression)


class Shapes:
    """Shapes of expressions over names of known shape; each expression is visited once."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.names = shapes
        self._known: dict[int, tuple[Expression, Shape]] = {}  # the expression is held, so that its id stays its own

    def of(self, expression: Expression) -> Shape:
        """Shape of an expression.

        Raises
        ------
        CheckError
            If the operands of some operation do not fit.
        """
        if isinstance(expression, Symbol):
            return self.names.get(expression.name, ())
        if isinstance(expression, Number):
            return ()
        if id(expression) not in self._known:
            # operands first, without recursion: a sum of 200 terms is 200 calls deep
            pending: list[Expression] = [expression]
            order: list[Call] = []
            while pending:
                item = pending.pop()
                if isinstance(item, Call) and id(item) not in self._known:
                    order.append(item)
                    pending.extend(item.operands)
            for item in reversed(order):
                rule = broadcast if item.function in FUNCTIONS else RULES[item.function]
                self._known[id(item)] = (item, rule(self, item))
        return self._known[id(expression)][1]

    def clash(self, expression: Call, operands: Sequence[Expression], reason: str) -> CheckError:
        """Return the error that an operation's operands do not fit."""
        shapes = [self.of(operand) for operand in operands]
        sign = {"matmul": " @ "}.get(expression.function)
        row = FUNCTIONS.get(expression.function)
        if row is not None and row.infix:
            sign = f" {row.infix} "
        texts = [shape_text(shape) for shape in shapes]
        found = sign.join(texts) if sign and len(texts) == 2 else f"{expression.function} of {' and '.join(texts)}"
        return CheckError(f"{short(expression)} does not fit: {found}; {reason}", shapes=tuple(shapes))

    def extent(self, expression: Expression) -> Extent:
        """A setting that is a whole number, or the size of an operand.

        Raises
        ------
        CheckError
            If it is neither.
        """
        match expression:
            case Call("size", (inner,)):
                total: Extent = 1
                for extent in self.of(inner):
                    total = extent * total
                return total
            case Call("size", (inner, axis)):
                shape = self.of(inner)
                return shape[self.axis(expression, axis, len(shape))]
            case Call("mul" | "add" | "sub" as sign, (a, b)):
                left, right = self.extent(a), self.extent(b)
                return left * right if sign == "mul" else left + right if sign == "add" else left - right
        match literal(expression):
            case Number(int(value)):
                return value
        raise CheckError(f"{short(expression)} is no extent; write a whole number or a size such as x.shape[0]")

    def axis(self, expression: Call, setting: Expression, rank: int) -> int:
        """An axis as a number from 0.

        Raises
        ------
        CheckError
            If the operand has no such axis.
        """
        axis = self.extent(setting)
        if not isinstance(axis, int) or not -rank <= axis < rank:
            axes = f"axes 0 to {rank - 1}" if rank > 1 else "axis 0 only" if rank else "no axes"
            raise CheckError(f"{short(expression)} asks for axis {axis}; the operand has {axes}")
        return axis % rank

    def axes(self, expression: Call) -> tuple[list[int], Shape]:
        """Axes named by the settings after the first operand (all if there are none), and its shape."""
        shape = self.of(expression.operands[0])
        settings = expression.operands[1:]
        axes = [self.axis(expression, setting, len(shape)) for setting in settings]
        if len(set(axes)) < len(axes):
            raise CheckError(f"{short(expression)} names an axis twice")
        return (axes or list(range(len(shape)))), shape
