"""Products in claims: what stands side by side, or with a dot or a cross between, by the shapes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Number, Symbol

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["ONES", "product", "row"]

#: Vector of ones, a factor that sums over an axis.
ONES = Symbol("*ones")


def product(reader: Reader, left: Expression, right: Expression, sign: str) -> Expression:
    """Product of two operands side by side, or with a dot or a cross between them."""
    if right == ONES:
        return reader.make("sum", left, Number(-1))
    a, b = reader.rank(left), reader.rank(right)
    if a == 0 or b == 0 or reader.letters:
        result = reader.make("mul", left, right)
        if row(reader, left if b == 0 else right) is not None:
            reader.rows[id(result)] = result
        return result
    if sign == "×":
        raise CheckError(
            "× between two arrays can mean several products; write @ for the matrix product, "
            "\\odot or * for the one element by element"
        )
    row_left, row_right = row(reader, left), row(reader, right)
    if row_right is not None and row_left is None and a == 1:
        return reader.make("outer", left, row_right)
    if a == b == 1 and row_left is None and not sign:
        raise CheckError(
            "two vectors side by side can mean several products; write \\odot or * element by element, "
            "a^\\top b or a @ b for the sum of products, a b^\\top for the outer product"
        )
    product = reader.make("matmul", left if row_left is None else row_left, right)
    if None not in (a, b) and reader.rank(product) is None and row_left is None:
        elementwise = reader.make("mul", left, right)  # no matrix product: a factor for each row, or equal shapes
        if reader.rank(elementwise) and (1 in (a, b) or reader.shapes.of(left) == reader.shapes.of(right)):
            return elementwise
    if row_left is not None and b == 2:
        reader.rows[id(product)] = product
    return product


def row(reader: Reader, expression: Expression) -> Expression | None:
    """The vector of a row such as x^T or x^T W; None for a column or anything else."""
    match expression:
        case Call("transpose", (inner,)) if reader.rank(inner) == 1:
            return inner
    return reader.rows.get(id(expression))
