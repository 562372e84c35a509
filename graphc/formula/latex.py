r"""LaTeX of formulas: statements with index subscripts, and reductions as ``\sum_{c,r,s}``.

Only constructs that a layout engine without TeX knows: no macros, no ``align``. What cannot be said in one
line (guards) follows as a condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.formula.definition import Definition
from graphc.formula.expression import Symbol, symbols, to_latex
from graphc.formula.parser import parse_expression, parse_lines
from graphc.formula.statement import (
    Access,
    Affine,
    Divides,
    Formula,
    Guard,
    Interval,
    Let,
    Statement,
    Zero,
)

__all__ = ["definition_latex", "formula_latex", "gate_latex", "statement_latex"]

_REDUCTION = {
    "sum": r"\sum_{{{0}}}",
    "max": r"\max_{{{0}}}",
    "min": r"\min_{{{0}}}",
    "prod": r"\prod_{{{0}}}",
    "logsumexp": r"\log \sum_{{{0}}} \exp",
    "argmax": r"\operatorname{{argmax}}_{{{0}}}",
    "argmin": r"\operatorname{{argmin}}_{{{0}}}",
}
#: Operators that bind only a factor, so that a sum behind them needs brackets.
_SUMS = {"add", "sub", "neg", "select"}


def _name(name: str) -> str:
    """LaTeX of a tensor, an axis or a size: ``x.1`` becomes the extent of ``x`` along axis 1."""
    tensor, dot, dimension = name.rpartition(".")
    if dot:
        return rf"\mathrm{{size}}_{{{dimension}}}\left({to_latex(Symbol(tensor))}\right)"
    return to_latex(Symbol(name))


def _affine(form: Affine) -> str:
    text = ""
    # positive terms first: "i + r - p", not "-p + i + r"
    for name, coefficient in sorted(form.terms, key=lambda term: (term[1] < 0, term[0])):
        magnitude = abs(coefficient)
        factor = _name(name) if magnitude == 1 else rf"{magnitude} \, {_name(name)}"
        sign = (" - " if coefficient < 0 else " + ") if text else ("-" if coefficient < 0 else "")
        text += sign + factor
    if form.constant or not text:
        constant = form.constant
        text += f" {'-' if constant < 0 else '+'} {abs(constant)}" if text else str(constant)
    return text


def _access(access: Access) -> str:
    tensor = _name(access.tensor)
    if access.flat:
        tensor = rf"\operatorname{{flat}}\left({tensor}\right)"
    if not access.index:
        return tensor
    items = ", ".join(_affine(item) if isinstance(item, Affine) else _access(item.access) for item in access.index)
    # a name that ends in digits has a subscript already: its index goes behind in the same one
    if tensor.endswith("}") and "_{" in tensor and not access.flat:
        return f"{tensor[:-1]}, {items}}}"
    return f"{tensor}_{{{items}}}"


def _guard(guard: Guard) -> str:
    if isinstance(guard, Interval):
        return rf"0 \leq {_affine(guard.index)} < {_affine(guard.upper)}"
    if isinstance(guard, Divides):
        return rf"{guard.divisor} \mid {_affine(guard.index)}"
    if isinstance(guard, Zero):
        return f"{_affine(guard.index)} = 0"
    winner = ", ".join(_affine(index) for index, _ in guard.axes)
    return rf"\left({winner}\right) = {_access(guard.access)}"


def _let(let: Let) -> str:
    numerator = _affine(let.numerator)
    value = numerator if let.divisor == 1 else rf"\frac{{{numerator}}}{{{let.divisor}}}"
    return f"{_name(let.name)} = {value}"


def statement_latex(statement: Statement) -> str:
    """Return one statement as one line of LaTeX."""
    names = {name: _name(name) for name in symbols(statement.body) if "." in name}
    names |= {placeholder: _access(access) for placeholder, access in statement.reads}
    body = to_latex(statement.body, names)
    reduced = statement.reduced()
    operator = statement.operator
    if reduced and operator != "set":
        function = getattr(statement.body, "function", "")
        if operator == "logsumexp":
            body = rf"\left({body}\right)"
        elif function in _SUMS:
            body = rf"\left[{body}\right]"
        body = f"{_REDUCTION[operator].format(', '.join(map(_name, reduced)))} {body}"
    conditions = [_let(let) for let in statement.lets] + [_guard(guard) for guard in statement.guards]
    where = rf" \quad \text{{where }} {', '.join(conditions)}" if conditions else ""
    sign = r"\mathrel{+}=" if statement.adds() else "="
    return f"{_access(statement.write)} {sign} {body}{where}"


def _lines(rows: list[str]) -> str:
    if len(rows) == 1:
        return rows[0]
    return r"\begin{array}{l} " + r" \\ ".join(rows) + r" \end{array}"


def formula_latex(formula: Formula) -> str:
    r"""Return a bound formula as LaTeX, one line a statement.

    Parameters
    ----------
    formula : Formula
        A gate bound to ranks and attributes, or an adjoint.

    Returns
    -------
    str
        Mathematics without delimiters; several statements are rows of an ``array``.

    Examples
    --------
    >>> from graphc.formula.definition import Definition, bind
    >>> product = bind("dense", Definition("y[m,n] = sum(a[m,k] * b[k,n], k)"), {"a": 2, "b": 2}, {})
    >>> print(formula_latex(product))
    y_{m, n} = \sum_{k} a_{m, k} \, b_{k, n}
    """
    return _lines([statement_latex(statement) for statement in formula.statements])


def definition_latex(definition: Definition, formula: Formula) -> str:
    """Return the formula as it was written: without indices if it has none, else as it is bound.

    The bound form of a formula without indices is a stable one (``sigmoid(x)``); the lecturer's is the text.
    """
    if "[" in definition.text:
        return formula_latex(formula)
    rows = []
    for line in parse_lines(definition.text):
        body = parse_expression(line.text.partition("=")[2])
        rows.append(f"{_name(line.target)} = {to_latex(body)}")
    return _lines(rows)


def gate_latex(gate: Any) -> str:
    """Return a gate's formula as LaTeX, for the shapes and attributes of its first sample.

    Parameters
    ----------
    gate : graphc.Gate
        Any gate whose formula does not depend on ranks, or that has a sample.
    """
    attributes: Mapping[str, Any] = dict(gate.attributes)
    shapes: tuple[Any, ...] = tuple(() for _ in gate.operands)
    if gate.samples:
        sample = gate.samples[0]
        shapes = sample.shapes
        attributes = {**attributes, **sample.attributes}
    if gate.prepare is not None:
        attributes = dict(gate.prepare(shapes, dict(attributes)))
    return definition_latex(gate.define(shapes, attributes), gate.textbook().bind(shapes, attributes))
