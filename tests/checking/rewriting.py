"""Right answers in other forms: the same value at every point, written differently."""

from __future__ import annotations

import random
from collections.abc import Callable

from graphc.formula.expression import Call, Expression, Number

ONE = Number(1)


def rewritten(
    tree: Expression, chance: random.Random, shape: Callable[[Expression], tuple[int, ...] | None]
) -> Expression:
    """A tree with some operations written another way.

    Parameters
    ----------
    shape : callable
        Shape of a tree: only matrices are transposed.
    """
    if not isinstance(tree, Call):
        return tree
    again = Call(tree.function, tuple(rewritten(o, chance, shape) for o in tree.operands))
    if chance.random() < 0.5:
        return again
    match again:
        case Call("mul" | "add", (a, b)):
            return Call(again.function, (b, a))
        case Call("sub", (a, Call("pow", (b, Number(2))))) if a == ONE:
            return Call("mul", (Call("sub", (ONE, b)), Call("add", (ONE, b))))
        case Call("sub", (a, b)):
            return Call("neg", (Call("sub", (b, a)),))
        case Call("div", (a, b)):
            return Call("mul", (a, Call("div", (ONE, b))))
        case Call("neg", (a,)):
            return Call("mul", (Number(-1), a))
        case Call("pow", (a, Number(2))):
            return Call("mul", (a, a))
        case Call("matmul", (a, b)) if all(len(shape(x) or ()) == 2 for x in (a, b)):
            swapped = Call("matmul", (Call("transpose", (b,)), Call("transpose", (a,))))
            return Call("transpose", (swapped,))
        case Call("greater", (a, b)):
            return Call("less", (b, a))
    return again
