"""Sizes: extents that are numbers, named (the run-time batch ``N``), or products and sums of both."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.errors import FormulaError

__all__ = ["Extent", "Size", "extent_value", "named"]


class Size:
    """A polynomial with integer coefficients over named sizes, in canonical form (immutable).

    Arithmetic that leaves only a number returns an ``int``. ``//`` is exact or refused.
    """

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[tuple[str, ...], int], ...]

    def __init__(self, terms: Mapping[tuple[str, ...], int]) -> None:
        self.terms = tuple(sorted((m, c) for m, c in terms.items() if c))
        self._hash = hash(self.terms)

    @staticmethod
    def _terms(value: Extent) -> dict[tuple[str, ...], int]:
        return dict(value.terms) if isinstance(value, Size) else ({(): value} if value else {})

    @staticmethod
    def _reduced(terms: Mapping[tuple[str, ...], int]) -> Extent:
        size = Size(terms)
        if not size.terms:
            return 0
        if len(size.terms) == 1 and size.terms[0][0] == ():
            return size.terms[0][1]
        return size

    def __add__(self, other: Extent) -> Extent:
        if other == 0:
            return self
        terms = self._terms(self)
        for monomial, coefficient in self._terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return self._reduced(terms)

    __radd__ = __add__

    def __neg__(self) -> Extent:
        return self * -1

    def __sub__(self, other: Extent) -> Extent:
        return self + other * -1

    def __rsub__(self, other: Extent) -> Extent:
        return self * -1 + other

    def __mul__(self, other: Extent) -> Extent:
        if isinstance(other, int):  # the usual case: strides and elements counted in numbers
            if other == 1:
                return self
            return self._reduced({monomial: c * other for monomial, c in self.terms})
        terms: dict[tuple[str, ...], int] = {}
        for m, c in self._terms(self).items():
            for n, d in self._terms(other).items():
                monomial = tuple(sorted(m + n))
                terms[monomial] = terms.get(monomial, 0) + c * d
        return self._reduced(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Extent) -> Extent:
        divisor = self._terms(other)
        if len(divisor) == 1:
            ((monomial, coefficient),) = divisor.items()
            terms: dict[tuple[str, ...], int] = {}
            for m, c in self.terms:
                rest = list(m)
                for name in monomial:
                    if name not in rest:
                        break
                    rest.remove(name)
                else:
                    if c % coefficient == 0:
                        terms[tuple(rest)] = c // coefficient
                        continue
                break
            else:
                return self._reduced(terms)
        raise FormulaError(
            f"the size {self} cannot be divided by {other} before it is known; "
            "use a number for this extent instead of a name"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        parts = []
        for monomial, coefficient in reversed(self.terms):
            factors = [str(coefficient)] if coefficient != 1 or not monomial else []
            parts.append("*".join(factors + list(monomial)))
        return " + ".join(parts)

    __repr__ = __str__

    def names(self) -> set[str]:
        """Names that must be known before the size is a number."""
        return {name for monomial, _ in self.terms for name in monomial}


Extent = int | Size


def named(name: str) -> Size:
    """Return the size with this name."""
    return Size({(name,): 1})


def extent_value(extent: Extent, sizes: Mapping[str, int]) -> int:
    """Return the number that an extent is, given the named sizes.

    Raises
    ------
    KeyError
        If a name is not given.
    """
    if isinstance(extent, int):
        return extent
    total = 0
    for monomial, coefficient in extent.terms:
        for name in monomial:
            coefficient *= sizes[name]
        total += coefficient
    return total
