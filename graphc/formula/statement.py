"""Statements: one assignment over an iteration domain, in affine index notation.

A `Formula` (what a gate is) is a sequence of statements from input tensors to output tensors. Write and
read accesses are affine in the axes, which closes the language under differentiation: the adjoint of a
read swaps that read with the write. Sizes are named ``"tensor.dimension"`` (``"x.1"``), so that they
can never be confused with axes or tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphc.errors import FormulaError
from graphc.formula.expression import Expression, Number, Symbol, call, substitute, symbols, to_text
from graphc.formula.size import Extent

__all__ = [
    "NEUTRAL",
    "OPERATORS",
    "Access",
    "Affine",
    "Axis",
    "Divides",
    "Formula",
    "Gather",
    "Guard",
    "Index",
    "Interval",
    "Let",
    "Repeat",
    "Statement",
    "Wins",
    "Zero",
    "accesses",
    "affine",
    "affine_expression",
    "affine_extent",
    "mapped_guard",
    "neutral",
    "size_name",
    "substitute_axes",
]

#: What a statement does with the values of its reduced axes.
#: ``set`` has no reduced axes. ``argmax``/``argmin`` store the row-major position of the winner among
#: the reduced axes, the first at a tie.
OPERATORS = ("set", "sum", "max", "min", "prod", "logsumexp", "argmax", "argmin")

#: What an element holds that no point of the iteration domain reaches.
NEUTRAL: Mapping[str, float] = {
    "set": 0,
    "sum": 0,
    "max": -math.inf,
    "min": math.inf,
    "prod": 1,
    "logsumexp": -math.inf,
    "argmax": 0,
    "argmin": 0,
}


def neutral(operator: str, *, whole: bool) -> float:
    """`NEUTRAL` of an operator; for whole numbers the limits of int32 stand for the infinities."""
    value = NEUTRAL[operator]
    return min(max(value, -(2**31)), 2**31 - 1) if whole else value


def size_name(tensor: str, dimension: int) -> str:
    """Name of extent ``dimension`` of ``tensor``."""
    return f"{tensor}.{dimension}"


@dataclass(frozen=True, slots=True)
class Affine:
    """An integer linear form over axes and sizes: ``constant + sum(coefficient * name)``."""

    terms: tuple[tuple[str, int], ...]  # sorted by name, no zero coefficients
    constant: int = 0

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.terms, self.constant + other)
        terms = dict(self.terms)
        for name, coefficient in other.terms:
            terms[name] = terms.get(name, 0) + coefficient
        return affine(terms, self.constant + other.constant)

    def __mul__(self, factor: int) -> Affine:
        return affine({n: c * factor for n, c in self.terms}, self.constant * factor)

    def __sub__(self, other: Affine | int) -> Affine:
        return self + other * -1

    def coefficient(self, name: str) -> int:
        """Coefficient of an axis or size, 0 if absent."""
        return dict(self.terms).get(name, 0)

    def names(self) -> tuple[str, ...]:
        """Axes and sizes in the form, sorted."""
        return tuple(name for name, _ in self.terms)

    def plain(self) -> str | None:
        """The name, if the form is exactly one name (coefficient 1, no constant), else None."""
        if self.constant == 0 and len(self.terms) == 1 and self.terms[0][1] == 1:
            return self.terms[0][0]
        return None

    def substitute(self, replacements: Mapping[str, Affine]) -> Affine:
        """Replace names by forms, all at once."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and self.constant == 0:
            return replacements.get(self.terms[0][0], self)  # a plain axis: nearly every index
        if not any(name in replacements for name, _ in self.terms):
            return self
        terms: dict[str, int] = {}
        constant = self.constant
        for name, coefficient in self.terms:
            form = replacements.get(name)
            if form is None:
                terms[name] = terms.get(name, 0) + coefficient
                continue
            constant += coefficient * form.constant
            for inner, factor in form.terms:
                terms[inner] = terms.get(inner, 0) + coefficient * factor
        return affine(terms, constant)

    def value(self, environment: Mapping[str, int]) -> int:
        """Evaluate; works on arrays as well."""
        total = self.constant
        for name, coefficient in self.terms:
            total = total + coefficient * environment[name]
        return total

    def __str__(self) -> str:
        text = ""
        # positive terms first, so that "r - padding" does not come out as "-1 + r"
        for name, c in sorted(self.terms, key=lambda term: (term[1] < 0, term[0])):
            magnitude = name if abs(c) == 1 else f"{abs(c)}*{name}"
            sign = (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
            text += sign + magnitude
        if self.constant or not text:
            c = self.constant
            text += (f" - {-c}" if c < 0 else f" + {c}") if text else str(c)
        return text


def affine_expression(form: Affine) -> Expression:
    """Write an affine form as a scalar expression."""
    total: Expression = Number(form.constant)
    for name, coefficient in form.terms:
        total = call("add", total, call("mul", Number(coefficient), Symbol(name)))
    return total


def affine_extent(form: Affine, sizes: Mapping[str, Extent]) -> Extent:
    """Return the extent that a form over size names is."""
    total: Extent = form.constant
    for name, coefficient in form.terms:
        total = sizes[name] * coefficient + total
    return total


def affine(terms: Mapping[str, int] | str, constant: int = 0) -> Affine:
    """Build a canonical `Affine` from coefficients, or from one name."""
    if isinstance(terms, str):
        return Affine(((terms, 1),), constant)
    found = [(n, c) for n, c in terms.items() if c]
    if len(found) > 1:
        found.sort()
    return Affine(tuple(found), constant)


@dataclass(frozen=True, slots=True)
class Gather:
    """A data-dependent index: the value of an integer tensor."""

    access: Access

    def __str__(self) -> str:
        return str(self.access)


Index = Affine | Gather


@dataclass(frozen=True, slots=True)
class Access:
    """One read or write of a tensor.

    ``outside`` says what a read beyond the extents means: ``"forbidden"`` (proved not to happen, or
    guarded) or ``"zero"``. A ``flat`` access has one index into the row-major elements of the tensor:
    reshape is the only gate that needs it.
    """

    tensor: str
    index: tuple[Index, ...]
    outside: str = "forbidden"
    flat: bool = False

    def axes(self) -> set[str]:
        """Every axis or size name used by the indices, gathers included."""
        names: set[str] = set()
        for item in self.index:
            names |= set(item.names()) if isinstance(item, Affine) else item.access.axes()
        return names

    def substitute(self, replacements: Mapping[str, Affine]) -> Access:
        """Replace axes in every index."""
        index = tuple(
            item.substitute(replacements) if isinstance(item, Affine) else Gather(item.access.substitute(replacements))
            for item in self.index
        )
        return Access(self.tensor, index, self.outside, self.flat)

    def __str__(self) -> str:
        if not self.index:
            return self.tensor
        name = f"flat({self.tensor})" if self.flat else self.tensor
        return f"{name}[{', '.join(map(str, self.index))}]"


@dataclass(frozen=True, slots=True)
class Axis:
    """An iteration axis ``0 <= name < extent``; the extent is affine in sizes."""

    name: str
    extent: Affine

    def __str__(self) -> str:
        return f"{self.name} < {self.extent}"


@dataclass(frozen=True, slots=True)
class Interval:
    """Guard: ``0 <= index < upper``."""

    index: Affine
    upper: Affine

    def __str__(self) -> str:
        return f"0 <= {self.index} < {self.upper}"


@dataclass(frozen=True, slots=True)
class Divides:
    """Guard: ``divisor`` divides ``index``."""

    index: Affine
    divisor: int

    def __str__(self) -> str:
        return f"{self.divisor} | {self.index}"


@dataclass(frozen=True, slots=True)
class Zero:
    """Guard: ``index == 0``."""

    index: Affine

    def __str__(self) -> str:
        return f"{self.index} == 0"


@dataclass(frozen=True, slots=True)
class Wins:
    """Guard: the position stored at ``access`` is the row-major one of ``axes`` (index, extent)."""

    access: Access
    axes: tuple[tuple[Affine, Affine], ...]

    def __str__(self) -> str:
        return f"{self.access} == position({', '.join(str(index) for index, _ in self.axes)})"


Guard = Interval | Divides | Zero | Wins


def mapped_guard(guard: Guard, form: Callable[[Affine], Affine], access: Callable[[Access], Access]) -> Guard:
    """Return a guard with other forms and accesses in their places."""
    if isinstance(guard, Interval):
        return Interval(form(guard.index), form(guard.upper))
    if isinstance(guard, Divides):
        return Divides(form(guard.index), guard.divisor)
    if isinstance(guard, Zero):
        return Zero(form(guard.index))
    return Wins(access(guard.access), tuple((form(index), form(extent)) for index, extent in guard.axes))


@dataclass(frozen=True, slots=True)
class Let:
    """A derived axis: ``name = numerator // divisor`` (a `Divides` guard makes it exact)."""

    name: str
    numerator: Affine
    divisor: int

    def __str__(self) -> str:
        return f"{self.name} = ({self.numerator}) / {self.divisor}"


@dataclass(frozen=True, slots=True)
class Statement:
    """``write operator= body`` for every point of the axes that passes the guards.

    ``reads`` binds scalar placeholders of ``body`` to accesses. ``accumulate`` adds to what the tensor
    already holds instead of starting from the operator's `NEUTRAL` element. Elements of the written tensor
    that no point reaches are the neutral element; where the statement is ``partial``, they keep what they hold.
    """

    write: Access
    operator: str
    axes: tuple[Axis, ...]
    reads: tuple[tuple[str, Access], ...]
    body: Expression
    guards: tuple[Guard, ...] = ()
    lets: tuple[Let, ...] = ()
    accumulate: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise FormulaError(f"unknown operator {self.operator!r}; known: {', '.join(OPERATORS)}")

    def free(self) -> tuple[str, ...]:
        """Axes that appear in the write index, in iteration order."""
        written = self.write.axes()
        return tuple(axis.name for axis in self.axes if axis.name in written)

    def reduced(self) -> tuple[str, ...]:
        """Axes that do not appear in the write index, in iteration order."""
        written = self.write.axes()
        return tuple(axis.name for axis in self.axes if axis.name not in written)

    def extent(self, axis: str) -> Affine:
        """Extent of an axis."""
        for item in self.axes:
            if item.name == axis:
                return item.extent
        raise KeyError(axis)

    def tensors(self) -> tuple[str, ...]:
        """Tensors read (gathers and guards included), each once, in order."""
        found: dict[str, None] = {}

        def visit(access: Access) -> None:
            found[access.tensor] = None
            for item in access.index:
                if isinstance(item, Gather):
                    visit(item.access)

        for _, access in self.reads:
            visit(access)
        for guard in self.guards:
            if isinstance(guard, Wins):
                visit(guard.access)
        for item in self.write.index:
            if isinstance(item, Gather):
                visit(item.access)
        return tuple(found)

    def race_free(self) -> bool:
        """Whether distinct points of the free axes write distinct elements (each index a plain axis)."""
        plain = [item.plain() if isinstance(item, Affine) else None for item in self.write.index]
        axes = {axis.name for axis in self.axes}
        constant = [isinstance(item, Affine) and not (set(item.names()) & axes) for item in self.write.index]
        names = [name for name in plain if name in axes]
        return len(set(names)) == len(names) and all(
            (name in axes) or fixed for name, fixed in zip(plain, constant, strict=True)
        )

    def adds(self) -> bool:
        """Whether an element holds more than this statement gives it at one point of its free axes."""
        return self.accumulate or (self.operator == "sum" and not self.write.flat and not self.race_free())

    def __str__(self) -> str:
        body = to_text(substitute(self.body, {p: Symbol(str(a)) for p, a in self.reads}))
        reduced = self.reduced()
        if self.operator != "set" and (reduced or self.operator != "sum"):
            body = f"{self.operator}({', '.join((body, *reduced))})"
        sign = "+=" if self.adds() else "="
        where = [str(let) for let in self.lets] + [str(guard) for guard in self.guards]
        return f"{self.write} {sign} {body}" + (f"  where {', '.join(where)}" if where else "")


@dataclass(frozen=True, slots=True)
class Repeat:
    """Statements ``first`` to ``last`` (excluded) of a formula are evaluated together for each value of ``axis``.

    Each of them has that axis, with the same extent. Values run from 0 up, or from the last one down (``backward``).
    """

    first: int
    last: int
    axis: str
    backward: bool = False

    def __str__(self) -> str:
        return f"for {self.axis} from {'the last down' if self.backward else '0 up'}:"


@dataclass(frozen=True)
class Formula:
    """A gate bound to attributes and ranks: statements from inputs to outputs.

    ``ranks`` gives the rank of every tensor. ``extents`` gives, for every dimension of every output and
    temporary, its extent as an expression over the sizes of the inputs (symbols ``"x.1"``).
    ``integers`` names tensors that hold integers (indices, positions of winners). ``adds`` names tensors that were
    written by ``+=`` from the first line on: there, points that write the same element add up. ``rules`` names what
    made its bodies stable (`graphc.formula.stable`). ``repeats`` are what runs step by step (`Repeat`), in order.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    statements: tuple[Statement, ...]
    ranks: Mapping[str, int]
    extents: Mapping[str, Expression]
    integers: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()
    rules: tuple[str, ...] = ()
    repeats: tuple[Repeat, ...] = ()

    def __hash__(self) -> int:
        # templates are looked up for every node: hash the tree of statements once
        cached = self.__dict__.get("_hash")
        if cached is None:
            cached = hash((self.name, self.inputs, self.outputs, self.statements, self.integers))
            object.__setattr__(self, "_hash", cached)
        return cached

    def temporaries(self) -> tuple[str, ...]:
        """Tensors written but not returned, in order of first write."""
        found = dict.fromkeys(s.write.tensor for s in self.statements)
        return tuple(name for name in found if name not in self.outputs)

    def groups(self) -> Iterator[tuple[Repeat | None, tuple[Statement, ...]]]:
        """Statements in order: those of a repeat together, the others one by one."""
        position = 0
        for repeat in self.repeats:
            for statement in self.statements[position : repeat.first]:
                yield None, (statement,)
            yield repeat, self.statements[repeat.first : repeat.last]
            position = repeat.last
        for statement in self.statements[position:]:
            yield None, (statement,)

    def __str__(self) -> str:
        lines = []
        for repeat, statements in self.groups():
            lines += [str(repeat)] if repeat is not None else []
            lines += [f"{'    ' if repeat is not None else ''}{statement}" for statement in statements]
        return "\n".join(lines)


def accesses(statement: Statement) -> Iterator[Access]:
    """Every access of a statement, what it writes first, with those inside of indices and guards."""

    def visit(access: Access) -> Iterator[Access]:
        yield access
        for item in access.index:
            if isinstance(item, Gather):
                yield from visit(item.access)

    for access in (statement.write, *(a for _, a in statement.reads)):
        yield from visit(access)
    for guard in statement.guards:
        if isinstance(guard, Wins):
            yield from visit(guard.access)


def substitute_axes(body: Expression, replacements: Mapping[str, Affine]) -> Expression:
    """Replace axes that a body uses as numbers."""
    used = set(symbols(body)) & set(replacements)
    return substitute(body, {name: affine_expression(replacements[name]) for name in used}) if used else body


def fresh(stem: str, used: Iterable[str]) -> str:
    """Return ``stem``, or ``stem`` with the first number that makes it unused."""
    taken = set(used)
    if stem not in taken:
        return stem
    k = 1
    while f"{stem}{k}" in taken:
        k += 1
    return f"{stem}{k}"
