"""Factors that a sum does not run over are taken out of it: ``sum(g[c]*f[n,c]/s[c], n) = sum(f[n,c], n)*g[c]/s[c]``.

The gradients of batch norm are five sums over the whole batch that differ in such factors only: two are left, and the
others read them. A sum keeps what depends on sizes, because a kernel knows the extents of its own tensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from graphc.formula.expression import Call, Expression, Symbol, call, symbols
from graphc.formula.size import Extent, Size, extent_value
from graphc.formula.statement import Access, Affine, Axis, Statement, size_name

__all__ = ["Factored", "factor_out"]

#: Terms of a sum from which another launch is worth it, and what a named size is taken to be.
_TERMS, _TYPICAL_SIZE = 256, 64


@dataclass(frozen=True)
class Factored:
    """A sum without its factors, into a new tensor, and the statement that applies them."""

    tensor: str
    inner: Statement
    outer: Statement


def factor_out(s: Statement, sizes: Mapping[str, Extent], prefix: str) -> Factored | None:
    """Split a long sum whose body has factors that are the same for all of its terms, or return None.

    Parameters
    ----------
    sizes : mapping
        Extent of each size name of the statement's tensors.
    prefix : str
        Of the name of the new tensor.
    """
    reduced = set(s.reduced())
    plain = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
    if s.operator != "sum" or not reduced or s.guards or s.lets or s.write.flat or None in plain:
        return None
    if len(set(plain)) != len(plain) or any(a.flat or a.outside != "forbidden" for _, a in s.reads):
        return None
    terms = 1
    for axis in reduced:
        terms *= _typical(s.extent(axis), sizes)
    if terms < _TERMS:
        return None
    reads = dict(s.reads)
    names = {axis.name for axis in s.axes}

    def varies(e: Expression) -> bool:
        """Whether terms differ in it, or it needs what only the sum knows."""
        for name in symbols(e):
            if name in reads:
                if reads[name].axes() & reduced or reads[name].tensor == s.write.tensor:
                    return True
            elif name in reduced or name not in names:  # a size
                return True
        return False

    kept: list[Expression] = []
    divisors: list[Expression] = []
    taken: list[Callable[[Expression], Expression]] = []
    useful = [False]

    def product(e: Expression) -> None:
        if isinstance(e, Call) and varies(e):
            first, *rest = e.operands
            if e.function == "neg":
                taken.append(lambda x: call("neg", x))
                product(first)
                return
            if e.function == "mul":
                for operand in e.operands:
                    product(operand)
                return
            if e.function == "div":
                if varies(rest[0]):
                    divisors.append(rest[0])
                else:
                    useful[0] |= bool(set(symbols(rest[0])) & set(reads))
                    taken.append(lambda x: call("div", x, rest[0]))
                product(first)
                return
        if varies(e):
            kept.append(e)
        else:
            useful[0] |= bool(set(symbols(e)) & set(reads))
            taken.append(lambda x: call("mul", x, e))

    product(s.body)
    if not useful[0] or not kept:
        return None
    tensor = f"{prefix}.terms.{s.write.tensor}"
    index = s.write.index
    body = kept[0]
    for factor in kept[1:]:
        body = call("mul", body, factor)
    for divisor in divisors:
        body = call("div", body, divisor)
    inner = replace(
        s,
        write=Access(tensor, index),
        axes=tuple(Axis(a.name, _renamed(a, index, tensor)) for a in s.axes),
        reads=_used(s, body),
        body=body,
        accumulate=False,
    )
    free = tuple(axis for axis in s.axes if axis.name not in reduced)
    result: Expression = Symbol("total")
    for apply in taken:
        result = apply(result)
    outer = replace(
        s,
        operator="set",
        axes=free,
        reads=(("total", Access(tensor, index)), *_used(s, result)),
        body=result,
    )
    return Factored(tensor, inner, outer)


def _used(s: Statement, body: Expression) -> tuple[tuple[str, Access], ...]:
    used = set(symbols(body))
    return tuple((placeholder, access) for placeholder, access in s.reads if placeholder in used)


def _renamed(axis: Axis, index: tuple[object, ...], tensor: str) -> Affine:
    """The extent of an axis, by the new tensor where it runs over one of its dimensions."""
    for dimension, item in enumerate(index):
        if isinstance(item, Affine) and item.plain() == axis.name:
            return Affine(((size_name(tensor, dimension), 1),), 0)
    return axis.extent


def _typical(form: Affine, sizes: Mapping[str, Extent]) -> int:
    total: Extent = form.constant
    for name, coefficient in form.terms:
        total = sizes[name] * coefficient + total
    return extent_value(total, dict.fromkeys(total.names(), _TYPICAL_SIZE)) if isinstance(total, Size) else total
