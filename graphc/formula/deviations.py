"""Deviations from a mean add up to nothing.

With ``m[c] = mean(x[n,c], n)`` and ``v[c] = mean((x[n,c] - m[c])**2, n)``, the derivative of ``v`` by ``m`` is
``-2*mean(x[n,c] - m[c], n)``: zero, whatever ``x`` is. A sweep that does not know it reads ``x`` once more for every
normalisation, and adds what rounding left of the zero to every gradient.
"""

from __future__ import annotations

from graphc.formula.expression import ZERO, Call, Expression, Symbol, substitute, symbols
from graphc.formula.statement import Access, Affine, Formula, Statement
from graphc.formula.symbolic import derivative

__all__ = ["cancels"]


def cancels(formula: Formula, s: Statement, placeholder: str, slope: Expression) -> bool:
    """Whether the derivative of a sum by a mean is a sum of deviations from this mean, and so zero.

    Parameters
    ----------
    s : Statement
        Of the formula.
    placeholder : str
        Of the read of the mean.
    slope : Expression
        Derivative of the body by the placeholder.
    """
    reads = dict(s.reads)
    access = reads[placeholder]
    means = [m for m in formula.statements if m.write.tensor == access.tensor]
    if s.operator != "sum" or s.guards or s.lets or len(means) != 1:
        return False
    mean = means[0]
    if mean.operator != "sum" or mean.guards or mean.lets or len(mean.reads) != 1 or mean.accumulate:
        return False
    (inner, taken), reduced = mean.reads[0], mean.reduced()
    # the same axes under the same names, so that both run over the same elements
    if mean.write.index != access.index or set(mean.axes) != set(s.axes):
        return False
    if not _is_mean(mean, inner) or _depends(s.write, reduced) or any(_depends(access, [a]) for a in reduced):
        return False
    elements = [p for p, a in reads.items() if a == taken]
    if len(elements) != 1:
        return False
    element = elements[0]
    others = {p for p in symbols(slope) if p in reads and _depends(reads[p], reduced)} - {element}
    if others or set(symbols(slope)) & set(reduced):
        return False
    # a*(x - m): nothing is left where x is m, and the derivative by x knows neither
    factor = derivative(slope, element)
    at_mean = substitute(slope, {element: Symbol(placeholder)})
    return not {element, placeholder} & set(symbols(factor)) and _vanishes(at_mean)


def _is_mean(mean: Statement, inner: str) -> bool:
    """Whether a sum divides by the number of its terms."""
    if not isinstance(mean.body, Call) or mean.body.function != "div" or mean.body.operands[0] != Symbol(inner):
        return False
    extents = [mean.extent(axis).plain() for axis in mean.reduced()]
    return None not in extents and sorted(map(str, extents)) == _factors(mean.body.operands[1])


def _factors(product: Expression) -> list[str]:
    """Names of the factors of a product of symbols, in order; anything else is a factor without a name."""
    if isinstance(product, Call) and product.function == "mul":
        return sorted(name for operand in product.operands for name in _factors(operand))
    return [product.name] if isinstance(product, Symbol) else [""]


def _depends(access: Access, axes: list[str] | tuple[str, ...]) -> bool:
    """Whether an element that is accessed differs along axes; a data-dependent one may."""
    return any(not isinstance(i, Affine) or set(i.names()) & set(axes) for i in access.index)


def _vanishes(expression: Expression) -> bool:
    """Whether an expression is zero for its form: a product with ``z - z``, or a sum of such."""
    if expression == ZERO:
        return True
    if not isinstance(expression, Call):
        return False
    operands = expression.operands
    if expression.function == "sub" and operands[0] == operands[1]:
        return True
    if expression.function == "mul":
        return any(map(_vanishes, operands))
    if expression.function in ("neg", "div"):
        return _vanishes(operands[0])
    return expression.function in ("add", "sub") and all(map(_vanishes, operands))
