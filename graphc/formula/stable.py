"""Stable forms: a formula as people write it, in functions that neither overflow nor cancel.

The rules run *before* differentiation: the derivative of ``1/(1 + exp(-x))`` as written is ``inf/inf`` at
``x = -1000``, that of ``sigmoid(x)`` is right everywhere. Each rule is exact mathematics for real operands;
only rounding changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from graphc.formula.expression import ONE, Call, Expression, Number, call

__all__ = ["RULES", "rewritten", "stable"]


def _operand(expression: Expression, function: str) -> Expression | None:
    """The operand of a one-operand call of ``function``, else None."""
    if isinstance(expression, Call) and expression.function == function:
        return expression.operands[0]
    return None


def _is_one(expression: Expression) -> bool:
    return isinstance(expression, Number) and expression.value == 1


def _negated(expression: Expression) -> Expression:
    """``-u``, taking a factor's or a difference's sign rather than adding a new one."""
    if isinstance(expression, Call) and expression.function == "mul":
        first, second = expression.operands
        if isinstance(first, Number):
            return call("mul", call("neg", first), second)
    return call("neg", expression)


def _one_plus(expression: Expression) -> Expression | None:
    """``u`` of ``1 + u`` or ``u + 1``."""
    if isinstance(expression, Call) and expression.function == "add":
        left, right = expression.operands
        if _is_one(left):
            return right
        if _is_one(right):
            return left
    return None


def _logistic(e: Call) -> Expression | None:
    """1/(1 + exp(-u)): exp overflows for u << 0, and the derivative becomes inf/inf."""
    if e.function != "div" or not _is_one(e.operands[0]):
        return None
    inner = _one_plus(e.operands[1])
    exponent = _operand(inner, "exp") if inner is not None else None
    return None if exponent is None else Call("sigmoid", (_negated(exponent),))


def _logistic_quotient(e: Call) -> Expression | None:
    """exp(u)/(1 + exp(u)): inf/inf for u >> 0."""
    if e.function != "div":
        return None
    exponent = _operand(e.operands[0], "exp")
    if exponent is None or _one_plus(e.operands[1]) != e.operands[0]:
        return None
    return Call("sigmoid", (exponent,))


def _logistic_power(e: Call) -> Expression | None:
    """(1 + exp(-u))**-1: the same logistic function, spelled as a power."""
    if e.function != "pow" or e.operands[1] != Number(-1):
        return None
    return _logistic(Call("div", (ONE, e.operands[0])))


def _complement(e: Call) -> Expression | None:
    """1 - sigmoid(u): cancels to 0 for u >> 0, while sigmoid(-u) keeps its digits."""
    if e.function != "sub" or not _is_one(e.operands[0]):
        return None
    inner = _operand(e.operands[1], "sigmoid")
    return None if inner is None else Call("sigmoid", (_negated(inner),))


def _one_minus(expression: Expression) -> Expression | None:
    """``u`` of ``1 - u``."""
    if isinstance(expression, Call) and expression.function == "sub" and _is_one(expression.operands[0]):
        return expression.operands[1]
    return None


def _erfc(e: Call) -> Expression | None:
    """1 - erf(u), 1 + erf(u): cancel to 0 in one tail, where erfc keeps its digits."""
    lost, kept = _one_minus(e), _one_plus(e)
    inner = _operand(lost, "erf") if lost is not None else None
    if inner is not None:
        return Call("erfc", (inner,))
    inner = _operand(kept, "erf") if kept is not None else None
    return None if inner is None else Call("erfc", (_negated(inner),))


def _one_plus_tanh(e: Call) -> Expression | None:
    """1 + tanh(u), 1 - tanh(u): cancel to 0 in one tail, where 2*sigmoid(2*u) keeps its digits."""
    lost, kept = _one_minus(e), _one_plus(e)
    inner = _operand(kept, "tanh") if kept is not None else None
    if inner is not None:
        return call("mul", Number(2), Call("sigmoid", (call("mul", Number(2), inner),)))
    inner = _operand(lost, "tanh") if lost is not None else None
    return None if inner is None else call("mul", Number(2), Call("sigmoid", (call("mul", Number(-2), inner),)))


def _softsign(e: Call) -> Expression | None:
    """u/(1 + abs(u)): its derivative by the quotient rule cancels in both tails."""
    if e.function != "div":
        return None
    inner = _one_plus(e.operands[1])
    return Call("softsign", (e.operands[0],)) if inner == Call("abs", (e.operands[0],)) else None


def _softplus(e: Call) -> Expression | None:
    """log(1 + exp(u)): exp overflows for u >> 0; also log1p(exp(u))."""
    if e.function == "log":
        inner = _one_plus(e.operands[0])
    elif e.function == "log1p":
        inner = e.operands[0]
    else:
        return None
    exponent = _operand(inner, "exp") if inner is not None else None
    return None if exponent is None else Call("softplus", (exponent,))


def _log_sigmoid(e: Call) -> Expression | None:
    """log(sigmoid(u)): the logarithm of an underflowed 0 for u << 0."""
    if e.function != "log":
        return None
    inner = _operand(e.operands[0], "sigmoid")
    return None if inner is None else call("neg", Call("softplus", (_negated(inner),)))


def _logaddexp(e: Call) -> Expression | None:
    """log(exp(a) + exp(b)): either exp overflows, or both underflow to log(0)."""
    if e.function != "log":
        return None
    total = e.operands[0]
    if not isinstance(total, Call) or total.function != "add":
        return None
    left, right = (_operand(term, "exp") for term in total.operands)
    return None if left is None or right is None else Call("logaddexp", (left, right))


def _log1p(e: Call) -> Expression | None:
    """log(1 + u): 1 + u forgets the digits of a small u."""
    if e.function != "log":
        return None
    inner = _one_plus(e.operands[0])
    return None if inner is None or isinstance(inner, Number) else Call("log1p", (inner,))


def _log1p_difference(e: Call) -> Expression | None:
    """log(1 - u): the same loss of digits."""
    if e.function != "log":
        return None
    inner = e.operands[0]
    if isinstance(inner, Call) and inner.function == "sub" and _is_one(inner.operands[0]):
        return Call("log1p", (_negated(inner.operands[1]),))
    return None


def _expm1(e: Call) -> Expression | None:
    """exp(u) - 1: cancels for small u; also exp(u) + -1."""
    if (e.function == "sub" and _is_one(e.operands[1])) or (e.function == "add" and e.operands[1] == Number(-1)):
        exponent = _operand(e.operands[0], "exp")
    else:
        return None
    return None if exponent is None else Call("expm1", (exponent,))


def _exponentials(expression: Expression) -> tuple[str, Expression, Expression] | None:
    """``("add" | "sub", u, v)`` of ``exp(u) ± exp(v)``."""
    if not isinstance(expression, Call) or expression.function not in ("add", "sub"):
        return None
    left, right = (_operand(term, "exp") for term in expression.operands)
    return None if left is None or right is None else (expression.function, left, right)


def _half(expression: Expression) -> Expression | None:
    """``u`` of ``2*u`` or ``u*2``; an even number is halved."""
    if isinstance(expression, Call) and expression.function == "mul":
        left, right = expression.operands
        if left == Number(2):
            return right
        if right == Number(2):
            return left
        if isinstance(left, Number) and isinstance(left.value, int) and left.value % 2 == 0:
            return call("mul", Number(left.value // 2), right)
    inner = _operand(expression, "neg")
    half = _half(inner) if inner is not None else None
    return None if half is None else _negated(half)


def _tanh(e: Call) -> Expression | None:
    """(exp(u) - exp(-u))/(exp(u) + exp(-u)): inf/inf in both tails, and cancels near 0."""
    if e.function != "div":
        return None
    top, bottom = _exponentials(e.operands[0]), _exponentials(e.operands[1])
    if top is None or bottom is None or top[0] != "sub" or bottom[0] != "add":
        return None
    _, u, v = top
    if v != _negated(u) and u != _negated(v):
        return None
    return Call("tanh", (u,)) if set(bottom[1:]) == {u, v} else None


def _tanh_double(e: Call) -> Expression | None:
    """(exp(2*u) - 1)/(exp(2*u) + 1): inf/inf for u >> 0."""
    if e.function != "div":
        return None
    inner = _one_plus(e.operands[1])
    exponent = _operand(inner, "exp") if inner is not None else None
    half = _half(exponent) if exponent is not None else None
    if half is None or exponent is None:
        return None
    top = e.operands[0]  # expm1(2*u): the rule for exp(u) - 1 has already been at work below
    if _operand(top, "expm1") == exponent:
        return Call("tanh", (half,))
    if isinstance(top, Call) and top == Call("sub", (ONE, Call("exp", (exponent,)))):
        return Call("tanh", (_negated(half),))
    return None


def _tanh_sigmoid(e: Call) -> Expression | None:
    """2*sigmoid(2*u) - 1: cancels near 0."""
    if e.function != "sub" or not _is_one(e.operands[1]):
        return None
    product = e.operands[0]
    if not isinstance(product, Call) or product.function != "mul" or Number(2) not in product.operands:
        return None
    other = product.operands[1] if product.operands[0] == Number(2) else product.operands[0]
    inner = _operand(other, "sigmoid")
    half = _half(inner) if inner is not None else None
    return None if half is None else Call("tanh", (half,))


def _sech2(e: Call) -> Expression | None:
    """1 - tanh(u)**2: cancels to 0 in both tails; also 1 - tanh(u)*tanh(u)."""
    if e.function != "sub" or not _is_one(e.operands[0]):
        return None
    square = e.operands[1]
    if not isinstance(square, Call) or square.function not in ("pow", "mul"):
        return None
    base, other = square.operands
    if other != (Number(2) if square.function == "pow" else base):
        return None
    inner = _operand(base, "tanh")
    return None if inner is None else Call("sech2", (inner,))


Rule = Callable[[Call], Expression | None]

#: Rules by name, tried in this order at every call, operands first. Each docstring says why.
RULES: tuple[tuple[str, Rule], ...] = (
    ("logistic", _logistic),
    ("logistic as a quotient", _logistic_quotient),
    ("logistic as a power", _logistic_power),
    ("complement of the logistic", _complement),
    ("error function", _erfc),
    ("one plus tanh", _one_plus_tanh),
    ("softsign", _softsign),
    ("softplus", _softplus),
    ("logarithm of the logistic", _log_sigmoid),
    ("log-add-exp", _logaddexp),
    ("log1p", _log1p),
    ("log1p of a difference", _log1p_difference),
    ("expm1", _expm1),
    ("tanh of four exponentials", _tanh),
    ("tanh of a doubled argument", _tanh_double),
    ("tanh by the logistic", _tanh_sigmoid),
    ("sech2", _sech2),
)


def stable(expression: Expression) -> Expression:
    """Rewrite an expression into stable functions, operands first.

    Parameters
    ----------
    expression : Expression
        As written.

    Returns
    -------
    Expression
        Equal for all real operands where the original is defined.

    Examples
    --------
    >>> from graphc.formula.parser import parse_expression
    >>> print(stable(parse_expression("log(1 + exp(-x))")))
    softplus(-x)
    """
    return rewritten(expression)[0]


@lru_cache(maxsize=4096)
def rewritten(expression: Expression) -> tuple[Expression, tuple[str, ...]]:
    """`stable`, and the names of the rules that were at work, in their order."""
    if not isinstance(expression, Call):
        return expression, ()
    below = [rewritten(o) for o in expression.operands]
    operands = tuple(o for o, _ in below)
    names = tuple(dict.fromkeys(name for _, found in below for name in found))
    if operands == expression.operands:
        result: Expression = expression
    else:
        result = call(expression.function, *operands)
    for name, rule in RULES:
        if not isinstance(result, Call):
            break
        found = rule(result)
        if found is not None:
            # a rewritten call may fit another rule: 1/(1 + exp(-u)) under log
            final, others = rewritten(found)
            return final, tuple(dict.fromkeys((*names, name, *others)))
    return result, names
