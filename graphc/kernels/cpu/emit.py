"""Loop nests: from one canonical statement to the text of one kernel.

``emit`` derives what the statement's docstrings promise, for every operator, access and guard:

1. reads that are zero outside become guards where the body vanishes with them;
2. a derived axis (``i = (p + 1 - r) / 2``) takes the place of a reduced axis, so that no division and no
   divisibility test is left in a loop;
3. axis ranges and interval guards become linear inequalities, each a limit of the deepest loop it mentions;
4. the loop order comes from a small stride-cost model (`_order`);
5. loops whose strides fit are joined at run time (``e1 = e0*e1; e0 = 1``), so that an elementwise kernel is
   one long loop whatever the rank;
6. offsets are built level by level, and only the innermost term stays in the innermost loop.

Arguments of a kernel: the address of each tensor in the order of ``dtypes``, then every extent ``t0.0, t0.1,
..., t1.0, ...``. A tensor that only has flat accesses has a single extent, its number of elements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from graphc.errors import KernelError
from graphc.formula.expression import (
    FUNCTIONS,
    ZERO,
    Call,
    Expression,
    Number,
    Symbol,
    substitute,
    symbols,
)
from graphc.formula.statement import (
    Access,
    Affine,
    Divides,
    Gather,
    Interval,
    Let,
    Statement,
    Wins,
    Zero,
    affine,
)
from graphc.planning.plan import Kernel

__all__ = ["compute_type", "emit", "extent_names"]

#: Iterations of the innermost loop of a float32 sum between two compensated additions.
BLOCK = 512
_DEFAULT_EXTENT = 32
_LONG_SUM = 8192
_UNROLLED = 16
_MODULE = "graphc.kernels.cpu"
_NEUTRAL = {"set": 0, "sum": 0, "max": -math.inf, "min": math.inf, "prod": 1, "logsumexp": -math.inf,
            "argmax": 0, "argmin": 0}  # fmt: skip
#: Python spelling of the functions that Numba lowers itself; the others are in `graphc.kernels.cpu.scalar`.
_INFIX = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "div": "({0} / {1})",
    "neg": "(-{0})",
    "less": "({0} < {1})",
    "less_equal": "({0} <= {1})",
    "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})",
    "equal": "({0} == {1})",
    "not_equal": "({0} != {1})",
    "and": "({0} & {1})",
    "or": "({0} | {1})",
    "not": "(not {0})",
}
_STEP = {"sum": "sum_step", "set": "sum_step", "prod": "product_step", "max": "largest", "min": "smallest"}


def extent_names(kernel: Kernel) -> tuple[tuple[str, ...], ...]:
    """Names of the extents in a kernel's arguments, for each tensor in the order of ``dtypes``."""
    assert kernel.statement is not None
    ranks, flat = _ranks(kernel.statement)
    return tuple(
        (f"{tensor}.size",) if tensor in flat else tuple(f"{tensor}.{d}" for d in range(ranks.get(tensor, 0)))
        for tensor, _ in kernel.dtypes
    )


def compute_type(kernel: Kernel) -> str:
    """Float type of a kernel's arithmetic: that of the written tensor, else the widest it reads."""
    assert kernel.statement is not None
    types = dict(kernel.dtypes)
    written = types[kernel.statement.write.tensor]
    if written.startswith("float"):
        return written
    floats = [t for t in types.values() if t.startswith("float")]
    return max(floats, default="float64")


def _accesses(statement: Statement) -> Iterable[Access]:
    def visit(access: Access) -> Iterable[Access]:
        yield access
        for item in access.index:
            if isinstance(item, Gather):
                yield from visit(item.access)

    yield from visit(statement.write)
    for _, access in statement.reads:
        yield from visit(access)
    for guard in statement.guards:
        if isinstance(guard, Wins):
            yield from visit(guard.access)


def _ranks(statement: Statement) -> tuple[dict[str, int], set[str]]:
    ranks: dict[str, int] = {}
    flat: set[str] = set()
    for access in _accesses(statement):
        if access.flat:
            flat.add(access.tensor)
        else:
            ranks[access.tensor] = len(access.index)
    return ranks, flat - set(ranks)


@dataclass(frozen=True)
class _Inequality:
    """``form >= 0``."""

    form: Affine


@dataclass
class _Read:
    """An access with its flat offset as a linear form over axes, lets and gathered values."""

    access: Access
    pointer: str
    offset: dict[str, str]  # loop variable -> stride text ("" is the constant part)
    inside: list[str]


class _Text:
    """Lines with indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1

    def add(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)


def emit(kernel: Kernel, hints: Mapping[str, int] | None = None) -> str:
    """Return the Python/Numba source text of a derived loop nest.

    Parameters
    ----------
    kernel : Kernel
        Kind ``"loops"``.
    hints : mapping, optional
        Typical values of extents (``{"t0.1": 64}``). They only steer the choice of the loop order: the text
        is right for all extents.

    Raises
    ------
    KernelError
        If the statement has no loop nest (the message says what is missing).
    """
    if kernel.kind != "loops" or kernel.statement is None:
        raise KernelError(f"emit writes loop nests; this kernel is of kind {kernel.kind!r}")
    return _Emitter(kernel, hints or {}).text()


def _paren(text: str) -> str:
    return text if re.fullmatch(r"\w+", text) else f"({text})"


class _Emitter:
    def __init__(self, kernel: Kernel, hints: Mapping[str, int]) -> None:
        assert kernel.statement is not None
        self.kernel = kernel
        self.source = kernel.statement
        self.hints = hints
        self.types = dict(kernel.dtypes)
        self.numbers = {tensor: k for k, (tensor, _) in enumerate(kernel.dtypes)}
        self.real = compute_type(kernel)
        self.ranks, self.flat = _ranks(self.source)
        self.out = _Text()
        self.head: list[str] = []  # sizes, strides: emitted before the loops
        self.constants: dict[str, str] = {}
        self.imports: set[str] = set()
        self.powers: set[int] = set()
        self.used_sizes: dict[str, str] = {}
        self.strides: dict[tuple[str, int], str] = {}
        self.temporaries = 0
        self.unrolled = False
        self.shared: dict[Expression, tuple[str, str]] = {}
        self.variables: set[str] = set()
        for tensor in (self.source.write.tensor, *self.source.tensors()):
            if tensor not in self.types:
                raise KernelError(f"the kernel's dtypes do not name the tensor {tensor!r}")
        if self.source.accumulate and self.source.operator in ("argmax", "argmin", "logsumexp"):
            raise KernelError(f"{self.source.operator} cannot accumulate into what a tensor holds")

    # ---- normalisation -------------------------------------------------------------------------

    def normalise(self) -> None:
        """Rename axes, turn guards into inequalities, eliminate derived axes."""
        s = self.source
        self.axis_name = {axis.name: f"i{k}" for k, axis in enumerate(s.axes)}
        for k, let in enumerate(s.lets):
            self.axis_name[let.name] = f"l{k}"
        rename = {a: affine(n) for a, n in self.axis_name.items()}
        self.extents = {self.axis_name[a.name]: a.extent for a in s.axes}
        self.axes = [self.axis_name[a.name] for a in s.axes]
        written = s.write.substitute(rename).axes()
        self.free = [a for a in self.axes if a in written]
        self.reduced = [a for a in self.axes if a not in written]
        self.write = s.write.substitute(rename)
        body = substitute(s.body, {a: Symbol(n) for a, n in self.axis_name.items() if a not in dict(s.reads)})
        self.lets = [Let(self.axis_name[t.name], t.numerator.substitute(rename), t.divisor) for t in s.lets]
        self.inequalities: list[_Inequality] = []
        self.divides: list[Divides] = []
        self.wins: list[Wins] = []
        intervals: list[Interval] = []
        for guard in s.guards:
            if isinstance(guard, Interval):
                intervals.append(Interval(guard.index.substitute(rename), guard.upper.substitute(rename)))
            elif isinstance(guard, Divides):
                self.divides.append(Divides(guard.index.substitute(rename), guard.divisor))
            elif isinstance(guard, Zero):
                form = guard.index.substitute(rename)
                self.inequalities += [_Inequality(form), _Inequality(form * -1)]
            else:
                self.wins.append(
                    Wins(
                        guard.access.substitute(rename),
                        tuple((i.substitute(rename), e) for i, e in guard.axes),
                    )
                )
        reads: dict[Access, str] = {}
        self.body = body
        if self.write.outside == "zero":
            intervals += self.within(self.write)
        for placeholder, access in s.reads:
            access = access.substitute(rename)
            vanishing = substitute(self.body, {placeholder: ZERO}) == ZERO
            if access.outside == "zero" and vanishing and s.operator in ("sum", "set"):
                # a point outside adds nothing: it need not be visited
                plain = [i for i in access.index if isinstance(i, Affine)]
                if len(plain) == len(access.index):
                    intervals += self.within(access)
                    access = Access(access.tensor, access.index, "forbidden", access.flat)
            if access in reads:  # the same element under two names
                self.body = substitute(self.body, {placeholder: Symbol(reads[access])})
            else:
                reads[access] = placeholder
        self.reads = {placeholder: access for access, placeholder in reads.items()}
        for interval in dict.fromkeys(intervals):
            for form in (interval.index, interval.upper - interval.index - 1):
                self.inequalities.append(_Inequality(form))
        self.eliminate_lets()
        self.resolve_lets()

    def within(self, access: Access) -> list[Interval]:
        guards = []
        for dimension, item in enumerate(access.index):
            if isinstance(item, Affine):
                name = f"{access.tensor}.size" if access.flat else f"{access.tensor}.{dimension}"
                guard = Interval(item, affine(name))
                plain = item.plain()
                if not (plain in self.extents and self.extents[plain] == guard.upper):
                    guards.append(guard)
        return guards

    def eliminate_lets(self) -> None:
        """Where ``l = (c*a + rest) / d`` exactly, with c = 1 or -1 and a reduced: a = c*(d*l - rest)."""
        for let in list(self.lets):
            exact = [g for g in self.divides if g.divisor == let.divisor and g.index == let.numerator]
            choices = [a for a in self.reduced if abs(let.numerator.coefficient(a)) == 1]
            # among several, the one that no other derived axis needs
            choices.sort(key=lambda a: sum(bool(o.numerator.coefficient(a)) for o in self.lets))
            if not exact or not choices or self.source.operator in ("argmax", "argmin"):
                continue
            if any(name.startswith("l") and name in self.axis_name.values() for name in let.numerator.names()):
                continue  # built on another derived axis
            axis = choices[0]
            c = let.numerator.coefficient(axis)
            rest = let.numerator - affine({axis: c})
            solution = (affine(let.name) * let.divisor - rest) * c
            replace = {axis: solution}
            self.lets.remove(let)
            self.divides = [Divides(g.index.substitute(replace), g.divisor) for g in self.divides if g not in exact]
            self.inequalities = [_Inequality(q.form.substitute(replace)) for q in self.inequalities]
            extent = self.extents.pop(axis)
            self.inequalities += [_Inequality(solution), _Inequality(extent - solution - 1)]
            self.lets = [Let(o.name, o.numerator.substitute(replace), o.divisor) for o in self.lets]
            self.reads = {p: a.substitute(replace) for p, a in self.reads.items()}
            self.wins = [
                Wins(w.access.substitute(replace), tuple((i.substitute(replace), e) for i, e in w.axes))
                for w in self.wins
            ]
            self.body = self.substitute_axis(self.body, replace)
            self.reduced[self.reduced.index(axis)] = let.name
            self.axes[self.axes.index(axis)] = let.name

    def substitute_axis(self, body: Expression, replace: Mapping[str, Affine]) -> Expression:
        def expression(form: Affine) -> Expression:
            total: Expression = Number(form.constant)
            for name, coefficient in form.terms:
                total = Call("add", (total, Call("mul", (Number(coefficient), Symbol(name)))))
            return total

        return substitute(body, {a: expression(f) for a, f in replace.items()})

    def resolve_lets(self) -> None:
        """Limits on a derived axis become limits on its numerator (floor division keeps order)."""
        lets = {let.name: let for let in self.lets}
        changed = True
        while changed:
            changed = False
            for k, q in enumerate(self.inequalities):
                for name in q.form.names():
                    if name in lets and abs(q.form.coefficient(name)) == 1:
                        let, c = lets[name], q.form.coefficient(name)
                        rest = q.form - affine({name: c})
                        if any(other in lets for other in rest.names()):
                            continue
                        if c == 1:  # l >= -rest
                            form = let.numerator + rest * let.divisor
                        else:  # l <= rest
                            form = (rest + 1) * let.divisor - let.numerator - 1
                        self.inequalities[k] = _Inequality(form)
                        changed = True
                        break

    # ---- sizes and strides ---------------------------------------------------------------------

    def size(self, name: str) -> str:
        """Local variable of a size such as ``t1.0``."""
        if name not in self.used_sizes:
            tensor, _, dimension = name.rpartition(".")
            if tensor not in self.numbers:
                raise KernelError(f"the size {name!r} is of a tensor that the kernel does not have")
            number = self.numbers[tensor]
            if dimension == "size" and tensor not in self.flat:
                local = f"n{number}_all"
                factors = [self.size(f"{tensor}.{d}") for d in range(self.ranks[tensor])]
                self.used_sizes[name] = local
                self.head.append(f"{local} = {' * '.join(factors) or '1'}")
                return local
            if dimension != "size" and int(dimension) >= (1 if tensor in self.flat else self.ranks[tensor]):
                raise KernelError(f"the size {name!r} is beyond the rank of the tensor")
            dimension = "0" if dimension == "size" else dimension
            self.used_sizes[name] = local = f"n{number}_{dimension}"
            argument = len(self.types)
            for tensor_name, rank_names in zip(self.types, extent_names(self.kernel), strict=True):
                if tensor_name == tensor:
                    argument += int(dimension)
                    break
                argument += len(rank_names)
            self.head.append(f"{local} = arguments[{argument}]")
        return self.used_sizes[name]

    def row_stride(self, tensor: str, dimension: int) -> str:
        """Elements between neighbours along a dimension; "1" for the last."""
        last = self.ranks[tensor] - 1
        if dimension == last:
            return "1"
        key = (tensor, dimension)
        if key not in self.strides:
            inner = self.row_stride(tensor, dimension + 1)
            extent = self.size(f"{tensor}.{dimension + 1}")
            if inner == "1":
                self.strides[key] = extent
            else:
                local = f"s{self.numbers[tensor]}_{dimension}"
                self.head.append(f"{local} = {extent} * {inner}")
                self.strides[key] = local
        return self.strides[key]

    def form_text(self, form: Affine) -> str:
        """Python text of a linear form over loop variables and sizes."""
        text = ""
        for name, c in sorted(form.terms, key=lambda term: (term[1] < 0, term[0])):
            local = name if name in self.variables else self.size(name)
            piece = local if abs(c) == 1 else f"{abs(c)} * {local}"
            text += (" - " if c < 0 else " + ") + piece if text else ("-" if c < 0 else "") + piece
        if form.constant or not text:
            c = form.constant
            text += (f" - {-c}" if c < 0 else f" + {c}") if text else str(c)
        return text

    # ---- order of loops ------------------------------------------------------------------------

    def typical(self, axis: str) -> int:
        form = self.extents.get(axis)
        if form is None:
            return 4  # what is left of a window after its stride
        total = form.constant
        for name, c in form.terms:
            total += c * self.hints.get(name, _DEFAULT_EXTENT)
        return max(1, total)

    def step(self, access: Access, axis: str) -> int:
        """Distance of neighbours along an axis: 0, the coefficient, or a large number."""
        if access.flat:
            item = access.index[0]
            return abs(item.coefficient(axis)) if isinstance(item, Affine) else 0
        total = 0
        size = 1
        derived = {let.name: let for let in self.lets}
        for dimension in range(len(access.index) - 1, -1, -1):
            item = access.index[dimension]
            if isinstance(item, Affine):
                total += item.coefficient(axis) * size
                for name in item.names():
                    if name in derived and derived[name].numerator.coefficient(axis):
                        total += 2 * size
            elif axis in item.access.axes():
                total += 4 * size
            size *= max(self.hints.get(f"{access.tensor}.{dimension}", 1000), 1)
        return abs(total)

    def order(self) -> list[str]:
        """Choose the innermost loop: cheapest cost of one iteration over the strides of all accesses.

        An access costs 0.1 where the axis leaves it alone, 1 with unit stride (vector loads), 3 with a small
        stride (gathered lanes), 8 beyond (a cache line each). A free innermost axis under reduced loops
        loads and stores the written element at each iteration; a reduced one keeps it in registers. Each
        start of the loop costs about 10 more, shared by its typical extent.
        """

        def cost(step: int) -> float:
            return 0.1 if step == 0 else 1.0 if step == 1 else 3.0 if step <= 4 else 8.0

        def total(axis: str) -> float:
            result = sum(cost(self.step(access, axis)) for access in self.reads.values())
            written = self.step(self.write, axis)
            if axis in self.free:
                result += cost(written) * (2 if self.reduced or not self.race_free else 1)
                if not self.reduced:
                    result -= 0.01 * (written == 1)
            elif not self.race_free:
                result += 0.5  # one combination with memory for each start
            return result + 10 / self.typical(axis)

        axes = [*self.free, *self.reduced]
        if not axes:
            return axes
        self.unrolled = self.small_window()
        if self.unrolled:
            if not self.free:
                return axes
            best = min(reversed(self.free), key=lambda a: round(total(a), 6))
            return [*(a for a in self.free if a != best), best, *self.reduced]
        # argmax and logsumexp need all points of an element together; a long chain of float32 additions in
        # memory would lose digits that the compensated sum in registers keeps
        length = math.prod(self.typical(a) for a in self.reduced)
        long = self.source.operator == "sum" and self.real == "float32" and length > _LONG_SUM
        whole = self.source.operator in ("argmax", "argmin", "logsumexp") or (long and self.race_free)
        candidates = self.reduced if whole and self.reduced else [*self.reduced, *self.free]
        # among reduced axes ties go to the last; a free axis must be better to win
        best = min(reversed(candidates), key=lambda a: (round(total(a), 6), a in self.free and bool(self.reduced)))
        return [*(a for a in axes if a != best), best]

    def small_window(self) -> bool:
        """Whether the reduced axes are a few constant steps that no guard limits.

        LLVM then writes them out, and the innermost free loop around them is vectorised.
        """
        extents = [self.extents.get(a) for a in self.reduced]
        if not extents or any(e is None or e.terms for e in extents):
            return False
        limited = {n for q in self.inequalities for n in q.form.names()}
        limited |= {n for d in self.divides for n in d.index.names()}
        limited |= {n for let in self.lets for n in let.numerator.names()}
        small = 0 < math.prod(e.constant for e in extents if e is not None) <= _UNROLLED
        return small and not limited & set(self.reduced) and self.source.operator != "logsumexp"

    # ---- emission ------------------------------------------------------------------------------

    def text(self) -> str:
        self.normalise()
        s = self.source
        self.race_free = s.race_free() and not s.write.flat
        if s.write.flat and isinstance(self.write.index[0], Affine):
            # one plain axis over the whole tensor reaches each element once
            plain = self.write.index[0].plain()
            self.race_free = plain in self.extents and len(self.free) == 1
        if not self.race_free and s.operator in ("argmax", "argmin", "logsumexp"):
            raise KernelError(f"{s.operator} needs a write index of plain axes; found {s.write}")
        self.loops = self.order()
        self.variables = {*self.loops, *(let.name for let in self.lets)}
        if s.operator in ("argmax", "argmin"):
            self.nest_position()
        elif s.operator == "logsumexp":
            self.nest_logsumexp()
        else:
            self.nest()
        return self.module()

    def level(self, names: Iterable[str]) -> int:
        """Depth at which all names are known: 0 is before the first loop."""
        depth = 0
        lets = {let.name: let for let in self.lets}
        for name in names:
            if name in self.loops:
                depth = max(depth, self.loops.index(name) + 1)
            elif name in lets:
                depth = max(depth, self.level(lets[name].numerator.names()))
            elif name.startswith("g") and name in self.gathered:
                depth = max(depth, self.gathered[name])
        return depth

    def prepare(self) -> None:
        """Place every guard, derived axis, gathered value and offset at its level."""
        count = len(self.loops)
        self.gathered: dict[str, int] = {}
        self.lower: list[list[str]] = [[] for _ in range(count + 1)]
        self.upper: list[list[str]] = [[] for _ in range(count + 1)]
        self.before: list[list[str]] = [[] for _ in range(count + 1)]  # lines at the start of a level
        self.conditions: list[list[str]] = [[] for _ in range(count + 1)]
        self.stepped: dict[str, tuple[str, int]] = {}
        self.guarded: set[str] = set()  # axes that are not free to be joined
        self.gather_lines: dict[tuple[Access, str], str] = {}
        lets = {let.name for let in self.lets}
        for let in self.lets:
            level = self.level([let.name])
            self.before[level].append(f"{let.name} = ({self.form_text(let.numerator)}) // {let.divisor}")
            self.guarded.update(let.numerator.names())
        for q in dict.fromkeys(self.inequalities):
            names = [n for n in q.form.names() if n in self.variables]
            if self.trivial(q.form):
                continue
            self.guarded.update(names)
            level = self.level(names)
            if level == 0 or any(n in lets for n in names):
                self.conditions[level].append(f"{self.form_text(q.form)} >= 0")
                continue
            axis = self.loops[level - 1]
            c = q.form.coefficient(axis)
            rest = q.form - affine({axis: c})
            if c == 1:
                self.lower[level].append(self.form_text(rest * -1))
            elif c > 0 and not rest.terms:
                self.lower[level].append(str(-(rest.constant // c)))
            elif c > 0:
                self.lower[level].append(f"-(({self.form_text(rest)}) // {c})")
            elif c == -1:
                self.upper[level].append(self.form_text(rest + 1))
            else:
                self.upper[level].append(f"({self.form_text(rest)}) // {-c} + 1")
        for guard in self.divides:
            names = [n for n in guard.index.names() if n in self.variables]
            self.guarded.update(names)
            level = self.level(names)
            axis = self.loops[level - 1] if level else ""
            c = guard.index.coefficient(axis) if level else 0
            if abs(c) == 1 and axis not in self.stepped and not any(n in lets for n in names):
                # first value at or above the lower limit that the divisor divides
                rest = guard.index - affine({axis: c})
                self.stepped[axis] = (self.form_text(rest * -c), guard.divisor)
            else:
                self.conditions[level].append(f"({self.form_text(guard.index)}) % {guard.divisor} == 0")
        # offsets
        self.offsets: dict[Access, _Read] = {}
        for access in (self.write, *self.reads.values(), *(w.access for w in self.wins)):
            self.register(access)
        for win in self.wins:
            names = set(win.access.axes())
            for index, _ in win.axes:
                names.update(index.names())
            self.guarded.update(n for n in names if n in self.variables)
        for name in symbols(self.body):
            if name in self.variables:
                self.guarded.add(name)

    def trivial(self, form: Affine) -> bool:
        """Whether ``form >= 0`` says nothing new: axes with an extent and sizes are never negative."""
        counted = [n for n in form.names() if n in self.variables]
        if any(n not in self.extents for n in counted):
            return False
        if all(c > 0 for _, c in form.terms) and form.constant >= 0:
            return True
        return len(counted) == 1 and form == self.extents[counted[0]] - affine(counted[0]) - 1

    def register(self, access: Access) -> _Read:
        if access in self.offsets:
            return self.offsets[access]
        number = self.numbers[access.tensor]
        read = _Read(access, f"t{number}", {}, [])
        parts: dict[str, list[str]] = {}

        def put(key: str, text: str) -> None:
            parts.setdefault(key, []).append(text)

        for dimension, item in enumerate(access.index):
            stride = "1" if access.flat else self.row_stride(access.tensor, dimension)
            upper = f"{access.tensor}.size" if access.flat else f"{access.tensor}.{dimension}"
            if isinstance(item, Gather):
                name = self.gather(item.access, "" if access.outside == "zero" else self.size(upper))
                put(name, stride)
                if access.outside == "zero":
                    read.inside += [f"{name} >= 0", f"{name} < {self.size(upper)}"]
                continue
            if access.outside == "zero":
                plain = item.plain()
                if not (plain in self.extents and self.extents[plain] == affine(upper)):
                    names = [n for n in item.names() if n in self.variables]
                    self.guarded.update(names)
                    text = self.form_text(item)
                    read.inside += [f"{_paren(text)} >= 0", f"{_paren(text)} < {self.size(upper)}"]
            rest = Affine((), item.constant)
            for name, c in item.terms:
                if name in self.variables:
                    put(name, stride if c == 1 else str(c) if stride == "1" else f"{c} * {stride}")
                else:
                    rest = rest + affine({name: c})
            if rest.terms or rest.constant:
                text = self.form_text(rest)
                if stride != "1":
                    signs = {"1": stride, "-1": f"-{stride}"}
                    text = signs.get(text, f"{_paren(text)} * {stride}")
                put("", text)
        number_of = len(self.offsets)
        for key, pieces in parts.items():
            text = " + ".join(pieces)
            if key and len(pieces) + text.count("*") > 1 and not re.fullmatch(r"-?\d+", text):
                local = f"d{number_of}_{key}"
                self.head.append(f"{local} = {text}")
                text = local
            read.offset[key] = text
        self.offsets[access] = read
        return read

    def gather(self, access: Access, limit: str) -> str:
        """Local variable that holds a data-dependent index, kept below ``limit`` if that is given."""
        if (access, limit) not in self.gather_lines:
            read = self.register(access)
            name = f"g{len(self.gather_lines)}"
            self.gather_lines[access, limit] = name
            level = self.level([k for k in read.offset if k])
            self.gathered[name] = level
            self.guarded.update(k for k in read.offset if k in self.variables)
            terms = [(k, v) for k, v in read.offset.items()]
            offset = self.offset_text(terms)
            self.imports.add("load")
            self.before[level].append(f"{name} = integer(load({read.pointer}, {offset}))")
            if limit:  # a wrong index from a computation must not reach foreign memory
                self.before[level].append(f"{name} = min(max({name}, 0), {limit} - 1)")
            self.imports.add("integer")
            self.variables.add(name)
        return self.gather_lines[access, limit]

    @staticmethod
    def offset_text(terms: Iterable[tuple[str, str]]) -> str:
        pieces = []
        for key, stride in terms:
            if not key:
                pieces.append(stride)
            elif stride == "1":
                pieces.append(key)
            else:
                pieces.append(f"{key} * {_paren(stride)}")
        return " + ".join(pieces).replace("+ -", "- ") or "0"

    def bases(self, accesses: Iterable[Access], innermost: int) -> list[list[str]]:
        """Lines that build each offset level by level, down to the level before the innermost loop."""
        lines: list[list[str]] = [[] for _ in range(innermost + 1)]
        self.current: dict[Access, str] = {}
        for number, access in enumerate(dict.fromkeys(accesses)):
            read = self.offsets[access]
            grouped: dict[int, list[tuple[str, str]]] = {}
            for key, stride in read.offset.items():
                grouped.setdefault(self.level([key]) if key else 0, []).append((key, stride))
            name = ""
            for level in range(innermost):
                terms = grouped.get(level)
                if not terms:
                    continue
                text = self.offset_text(terms)
                local = f"b{number}_{level}"
                lines[level].append(f"{local} = {name + ' + ' if name else ''}{text}")
                name = local
            inner = self.offset_text(grouped[innermost]) if innermost in grouped else ""
            self.current[access] = " + ".join(t for t in (name, inner) if t) or "0"
        return lines

    def limits(self, level: int, extent: Mapping[str, str]) -> tuple[str, str, int]:
        """Lower limit, upper limit and step of the loop ``level`` (1 is outermost)."""
        axis = self.loops[level - 1]
        # an eliminated axis has its limits among the inequalities only
        lower: list[str] = list(dict.fromkeys([*(["0"] if axis in extent else []), *self.lower[level]]))
        upper: list[str] = list(dict.fromkeys([*([extent[axis]] if axis in extent else []), *self.upper[level]]))
        low = lower[0] if len(lower) == 1 else f"max({', '.join(lower)})"
        high = upper[0] if len(upper) == 1 else f"min({', '.join(upper)})"
        if axis not in self.stepped:
            return low, high, 1
        target, divisor = self.stepped[axis]
        self.out.add(f"first{level} = {low}")
        self.out.add(f"first{level} += ({target} - first{level}) % {divisor}")
        return f"first{level}", high, divisor

    def open_loop(self, level: int, extent: Mapping[str, str]) -> None:
        """Write the header of a loop."""
        low, high, step = self.limits(level, extent)
        limits = high if (low, step) == ("0", 1) else f"{low}, {high}" + (f", {step}" if step > 1 else "")
        self.out.add(f"for {self.loops[level - 1]} in range({limits}):")
        self.out.depth += 1

    def conditions_at(self, level: int) -> None:
        if self.conditions[level]:
            text = " and ".join(dict.fromkeys(self.conditions[level]))
            if level == 0:
                self.out.add(f"if not ({text}):")
                self.out.add("    return")
            else:
                self.out.add(f"if not ({text}):")
                self.out.add("    continue")

    def covers(self) -> bool:
        """Whether the free axes alone reach every element of the written tensor."""
        for dimension, item in enumerate(self.write.index):
            if not isinstance(item, Affine):
                return False
            plain = item.plain()
            name = f"{self.write.tensor}.size" if self.write.flat else f"{self.write.tensor}.{dimension}"
            if plain is None or self.extents.get(plain) != affine(name):
                return False
        return self.race_free

    def join_loops(self) -> dict[str, str]:
        """Text of every extent; neighbouring loops whose strides fit become one at run time."""
        extent = {axis: self.form_text(self.extents[axis]) for axis in self.loops if axis in self.extents}
        blocked = self.guarded | set(self.stepped)
        position = self.source.operator in ("argmax", "argmin")
        if position:  # the stored position counts reduced axes in their order: only the last ones may join
            blocked = blocked | (set(self.reduced) if len(self.reduced) > 2 else set())
        for group in (self.free, self.reduced):
            kept = [a for a in self.loops if a in group and a in extent and a not in blocked]
            kept = [a for a in kept if self.extents[a].terms]  # constant loops are unrolled
            if len(kept) < 2:
                continue
            inner = kept[-1]
            outers = kept[:-1][::-1]
            previous: list[str] = []
            for outer in outers:
                conditions = self.joinable(outer, inner)
                if conditions is None:
                    break
                for axis in (inner, outer):
                    if not extent[axis].startswith("e"):
                        self.head.append(f"e{axis} = {extent[axis]}")
                        extent[axis] = f"e{axis}"
                tests = [f"{extent[p]} == 1" for p in previous] + [
                    f"{a} == {b and b + ' * '}{extent[inner]}" for a, b in conditions
                ]
                body = [f"{extent[inner]} *= {extent[outer]}", f"{extent[outer]} = 1"]
                if tests:
                    self.head.append(f"if {' and '.join(tests)}:")
                    body = ["    " + line for line in body]
                self.head += body
                previous.append(outer)
        return extent

    def joinable(self, outer: str, inner: str) -> list[tuple[str, str]] | None:
        """Conditions ``stride(outer) == stride(inner) * extent(inner)``; None if they cannot hold."""
        conditions: dict[tuple[str, str], None] = {}
        for read in self.offsets.values():
            a, b = read.offset.get(outer, ""), read.offset.get(inner, "")
            if not a and not b:
                continue
            if not a or not b or (a == "1" and b == "1"):
                return None
            conditions[(a, "" if b == "1" else _paren(b))] = None
        # where the outer stride is the inner extent by name, the condition holds
        own = self.form_text(self.extents[inner])
        return [(a, b) for a, b in conditions if not (b == "" and a == own and not self.joined(inner))]

    def joined(self, axis: str) -> bool:
        return any(line.startswith(f"e{axis} ") or line.strip().startswith(f"e{axis} *=") for line in self.head)

    # ---- scalar text ---------------------------------------------------------------------------

    def constant(self, value: float | Fraction) -> str:
        """Module-level name of a typed literal."""
        number = float(value)
        if math.isinf(number):
            text = "np.inf" if number > 0 else "-np.inf"
        elif math.isnan(number):
            text = "np.nan"
        else:
            text = repr(number)
        return self.constants.setdefault(text, f"c{len(self.constants)}")

    def typed(self, expression: Expression, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        """Text and kind (``"f"`` real, ``"i"`` int64, ``"b"`` boolean) of an expression."""
        if expression in self.shared:
            return self.shared[expression]
        if isinstance(expression, Number):
            if isinstance(expression.value, int) and abs(expression.value) < 2**62:
                return str(expression.value), "i"
            return self.constant(expression.value), "f"
        if isinstance(expression, Symbol):
            if expression.name in names:
                return names[expression.name]
            if expression.name in self.variables:
                return expression.name, "i"
            return self.size(expression.name), "i"
        name = expression.function
        if name == "pow":
            return self.power(expression.operands[0], expression.operands[1], names)
        operands = [self.typed(o, names) for o in expression.operands]
        kinds = {kind for _, kind in operands}
        if name in ("and", "or", "not"):
            texts = [self.truth(o) for o in operands]
            return _infix(name, texts), "b"
        if name == "select":
            condition = self.truth(operands[0])
            self.imports.add("either")
            if {operands[1][1], operands[2][1]} == {"b"}:
                return f"either({condition}, {operands[1][0]}, {operands[2][0]})", "b"
            whole = {operands[1][1], operands[2][1]} == {"i"} and not all(
                isinstance(e, Number) for e in expression.operands[1:]
            )
            if whole:
                return f"either({condition}, {operands[1][0]}, {operands[2][0]})", "i"
            a, b = (self.as_real(o, e) for o, e in zip(operands[1:], expression.operands[1:], strict=True))
            return f"either({condition}, {a}, {b})", "f"
        whole = kinds == {"i"}
        if name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
            if whole:
                return _infix(name, [t for t, _ in operands]), "b"
            return _infix(name, self.as_reals(operands, expression)), "b"
        if whole and name in ("add", "sub", "mul", "neg"):
            return _infix(name, [t for t, _ in operands]), "i"
        if whole and name in ("max", "min", "abs"):
            return f"{name}({', '.join(t for t, _ in operands)})", "i"
        if whole and name == "floordiv":
            return f"({operands[0][0]} // {operands[1][0]})", "i"
        texts = self.as_reals(operands, expression)
        if name == "floordiv":
            self.imports.add("floor")
            return f"floor({texts[0]} / {texts[1]})", "f"
        if name in ("add", "sub", "mul", "div", "neg"):
            return _infix(name, texts), "f"
        if name not in FUNCTIONS:
            raise KernelError(f"no CPU text for the scalar function {name!r}")
        spelled = {"abs": "absolute", "max": "maximum", "min": "minimum"}.get(name, name)
        self.imports.add(spelled)
        return f"{spelled}({', '.join(texts)})", "f"

    def power(self, base: Expression, exponent: Expression, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        x = self.as_real(self.typed(base, names), base)
        if isinstance(exponent, Number):
            value = exponent.value
            value = int(value) if float(value).is_integer() and abs(value) <= 64 else value
            if value == Fraction(1, 2):
                self.imports.add("sqrt")
                return f"sqrt({x})", "f"
            if value == Fraction(-1, 2):
                self.imports.add("sqrt")
                return f"({self.constant(1)} / sqrt({x}))", "f"
            if isinstance(value, int):
                if value == 1:
                    return x, "f"
                if value == -1:
                    return f"({self.constant(1)} / {x})", "f"
                self.powers.add(value)
                return f"power_{'minus_' if value < 0 else ''}{abs(value)}({x})", "f"
        self.imports.add("power")
        y = self.as_real(self.typed(exponent, names), exponent)
        return f"power({x}, {y})", "f"

    def as_reals(self, operands: list[tuple[str, str]], expression: Call) -> list[str]:
        return [self.as_real(o, e) for o, e in zip(operands, expression.operands, strict=True)]

    def as_real(self, operand: tuple[str, str], expression: Expression) -> str:
        text, kind = operand
        if kind == "f":
            return text
        if isinstance(expression, Number):
            return self.constant(expression.value)
        if kind == "b":
            self.imports.add("either")
            return f"either({text}, {self.constant(1)}, {self.constant(0)})"
        if re.fullmatch(r"n\d+_\w+", text):  # a size: converted once
            local = f"r{text}"
            line = f"{local} = real({text})"
            if line not in self.head:
                self.head.append(line)
            return local
        return f"real({text})"

    def truth(self, operand: tuple[str, str]) -> str:
        text, kind = operand
        if kind == "b":
            return text
        return f"({text} != {self.constant(0) if kind == 'f' else '0'})"

    def value(self) -> str:
        """Write the reads and the body at the current depth; return the text of the value, a real."""
        names: dict[str, tuple[str, str]] = {}
        used = set(symbols(self.body))
        for k, (placeholder, access) in enumerate(self.reads.items()):
            if placeholder not in used:
                continue
            read = self.offsets[access]
            own = access.tensor == self.source.write.tensor
            self.imports.add("fetch" if own else "load")
            text = f"{'fetch' if own else 'load'}({read.pointer}, {self.current[access]})"
            kind = "i" if self.types[access.tensor].startswith("int") else "f"
            if kind == "f" and self.types[access.tensor] != self.real:
                text = f"real({text})"
            if read.inside:
                neutral = "0" if kind == "i" else self.constant(0)
                self.out.add(f"v{k} = {neutral}")
                self.out.add(f"if {' and '.join(read.inside)}:")
                self.out.add(f"    v{k} = {text}")
            else:
                self.out.add(f"v{k} = {text}")
            names[placeholder] = (f"v{k}", kind)
        # subexpressions that occur more than once get a name
        counts: dict[Expression, int] = {}

        def visit(e: Expression) -> None:
            if isinstance(e, Call):
                counts[e] = counts.get(e, 0) + 1
                if counts[e] == 1:
                    for operand in e.operands:
                        visit(operand)

        visit(self.body)
        self.shared = {}

        def share(e: Expression) -> None:
            if isinstance(e, Call) and e not in self.shared:
                for operand in e.operands:
                    share(operand)
                if counts[e] > 1:
                    text, kind = self.typed(e, names)
                    self.temporaries += 1
                    self.out.add(f"x{self.temporaries} = {text}")
                    self.shared[e] = (f"x{self.temporaries}", kind)

        share(self.body)
        typed = self.typed(self.body, names)
        whole = self.source.operator == "set" and self.types[self.source.write.tensor].startswith("int")
        if whole and typed[1] == "i" and not self.wins and self.race_free and not self.source.accumulate:
            text = typed[0]  # integers stay integers
        else:
            text = self.as_real(typed, self.body)
        self.shared = {}
        # a winner guard protects no memory: both sides are computed, so the loop has no branch
        for win in self.wins:
            self.imports.update(("either", "load"))
            read = self.offsets[win.access]
            position = ""
            for index, extent in win.axes:
                piece = self.form_text(index)
                position = f"({position}) * {_paren(self.form_text(extent))} + {piece}" if position else piece
            stored = f"integer(load({read.pointer}, {self.current[win.access]}))"
            self.imports.add("integer")
            neutral = self.constant(_NEUTRAL[self.source.operator])
            text = f"either({stored} == {position or '0'}, {text}, {neutral})"
        return text

    # ---- nests ---------------------------------------------------------------------------------

    def fill_all(self) -> None:
        """Give every element the neutral value."""
        tensor = self.source.write.tensor
        self.imports.add("store")
        self.out.add(f"for e in range({self.size(tensor + '.size')}):")
        self.out.add(f"    store(t{self.numbers[tensor]}, e, {self.constant(_NEUTRAL[self.source.operator])})")

    def start_level(self, level: int, bases: list[list[str]]) -> None:
        for line in self.before[level]:
            self.out.add(line)
        self.conditions_at(level)
        if level < len(bases):
            for line in bases[level]:
                self.out.add(line)

    def first_guard(self) -> int:
        """Depth of the outermost loop that a guard shortens (0: a guard without axes)."""
        for level in range(len(self.loops) + 1):
            if self.conditions[level] or self.lower[level] or self.upper[level]:
                return level
            if level and self.loops[level - 1] in self.stepped:
                return level
        return len(self.loops) + 1

    def init_rows(self, level: int, extent: Mapping[str, str]) -> None:
        """Neutral values for the part of the written tensor that the free loops below ``level`` reach."""
        read = self.offsets[self.write]
        inner = [a for a in self.loops[level:] if a in self.free]
        depth = self.out.depth
        for axis in inner:
            self.out.add(f"for {axis} in range({extent[axis]}):")
            self.out.depth += 1
        terms = [(k, v) for k, v in read.offset.items()]
        self.imports.add("store")
        neutral = self.constant(_NEUTRAL[self.source.operator])
        self.out.add(f"store({read.pointer}, {self.offset_text(terms)}, {neutral})")
        self.out.depth = depth

    def nest(self) -> None:
        """set, sum, max, min, prod: scalar accumulators over the innermost reduced loops, else memory."""
        s = self.source
        self.prepare()
        count = len(self.loops)
        accumulates = s.accumulate
        suffix = 0  # innermost loops that are reduced: their result stays in a register
        while suffix < count and self.loops[count - 1 - suffix] in self.reduced:
            suffix += 1
        first_reduced = next((k for k, a in enumerate(self.loops) if a in self.reduced), count)
        direct = self.race_free and first_reduced == count - suffix  # each element is finished at once
        extent = self.join_loops()
        bases = self.bases((self.write, *self.reads.values(), *(w.access for w in self.wins)), count)
        guard = self.first_guard()
        init_level = None
        if not accumulates:
            reached = guard > (count - suffix)  # the stores of finished elements are all reached
            if not self.covers():
                self.fill_all()
            elif not (direct and reached):
                init_level = min(max(guard - 1, 0), first_reduced)
        level = 0
        fast = self.real == "float32" and s.operator == "sum" and suffix > 0 and not self.unrolled
        accumulator_depth = self.out.depth
        combined = accumulates or not direct
        step = _STEP[s.operator]
        for level in range(count + 1):
            if level == 0 and init_level == 0:
                self.init_rows(0, extent)  # before the conditions: they may return
            self.start_level(level, bases)
            if init_level == level and level > 0:
                self.init_rows(level, extent)
            if level == count - suffix and suffix:
                neutral = self.constant(_NEUTRAL[s.operator])
                self.out.add(f"total = {neutral}")
                if fast:
                    self.out.add(f"lost = {neutral}")
                accumulator_depth = self.out.depth
            if level < count:
                if fast and level == count - 1:
                    self.blocked_loop(level + 1, extent)
                else:
                    self.open_loop(level + 1, extent)
        value = self.value()
        self.imports.add("store")
        pointer, place = self.offsets[self.write].pointer, self.current[self.write]
        if suffix:
            self.imports.add(step)
            accumulator = "part" if fast else "total"
            self.out.add(f"{accumulator} = {step}({accumulator}, {value})")
            if fast:
                self.imports.update(("rounding_error", "either"))
                self.out.depth -= 1
                self.out.add("lost = lost + rounding_error(total, part)")
                self.out.add("total = total + part")
            self.out.depth = accumulator_depth
            if fast:  # infinities leave NaN in the lost part
                self.out.add("total = either(lost == lost, total + lost, total)")
            value = "total"
        if combined:
            self.imports.add("fetch")
            held = f"fetch({pointer}, {place})"
            if self.types[s.write.tensor] != self.real:
                held = f"real({held})"
            if s.operator in ("sum", "set"):
                value = f"{held} + {value}"
            else:
                self.imports.add(step)
                value = f"{step}({held}, {value})"
        self.out.add(f"store({pointer}, {place}, {value})")

    def blocked_loop(self, level: int, extent: Mapping[str, str]) -> None:
        """The innermost loop of a float32 sum in blocks, each added with compensation."""
        low, high, step = self.limits(level, extent)
        if not re.fullmatch(r"\w+", high):
            self.out.add(f"last = {high}")
            high = "last"
        self.out.add(f"for start in range({low}, {high}, {BLOCK * step}):")
        self.out.depth += 1
        self.out.add(f"part = {self.constant(0)}")
        ending = f", {step}" if step > 1 else ""
        self.out.add(f"for {self.loops[level - 1]} in range(start, min(start + {BLOCK * step}, {high}){ending}):")
        self.out.depth += 1

    def scalar_levels(self) -> tuple[int, int, list[list[str]], dict[str, str]]:
        """Common start of nests that need all points of one element together."""
        self.prepare()
        count, free = len(self.loops), len(self.free)
        extent = self.join_loops()
        bases = self.bases((self.write, *self.reads.values(), *(w.access for w in self.wins)), count)
        if not self.covers() or self.first_guard() <= free:
            self.fill_all()
        for level in range(free):
            self.start_level(level, bases)
            self.open_loop(level + 1, extent)
        return count, free, bases, extent

    def nest_position(self) -> None:
        """argmax, argmin: the first winner in row-major order; NaN wins over everything."""
        # reduced axes in the order of positions
        self.loops = [*(a for a in self.loops if a in self.free), *self.reduced]
        count, free, bases, extent = self.scalar_levels()
        better = ">" if self.source.operator == "argmax" else "<"
        self.start_level(free, bases)
        self.out.add(f"best = {self.constant(-math.inf if better == '>' else math.inf)}")
        self.out.add("winner = -1")
        depth = self.out.depth
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"value = {self.value()}")
        position = ""
        for axis in self.reduced:
            position = f"({position}) * {_paren(extent[axis])} + {axis}" if position else axis
        if self.unrolled:
            self.imports.add("either")
            self.out.add(f"better = (winner < 0) | (value {better} best) | ((value != value) & (best == best))")
            self.out.add("best = either(better, value, best)")
            self.out.add(f"winner = either(better, {position or '0'}, winner)")
        else:
            self.out.add(f"if winner < 0 or value {better} best or (value != value and best == best):")
            self.out.add("    best = value")
            self.out.add(f"    winner = {position or '0'}")
        self.out.depth = depth
        self.imports.add("store")
        self.out.add(f"store({self.offsets[self.write].pointer}, {self.current[self.write]}, max(winner, 0))")

    def nest_logsumexp(self) -> None:
        """Two passes: the maximum, then the sum of exp of what is below it.

        ``m + log(count of m) + log1p(rest / count)`` keeps results near 0 right.
        """
        count, free, bases, extent = self.scalar_levels()
        self.start_level(free, bases)
        one, zero = self.constant(1), self.constant(0)
        infinity, minus = self.constant(math.inf), self.constant(-math.inf)
        self.imports.update(("largest", "sum_step", "exp", "log", "log1p", "either", "store"))
        depth = self.out.depth
        self.out.add(f"top = {minus}")
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"top = largest(top, {self.value()})")
        self.out.depth = depth
        self.out.add(f"rest = {zero}")
        self.out.add(f"ties = {zero}")
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"value = {self.value()}")
        self.out.add(f"rest = sum_step(rest, either(value == top, {zero}, exp(value - top)))")
        self.out.add(f"ties = sum_step(ties, either(value == top, {one}, {zero}))")
        self.out.depth = depth
        self.out.add("value = top + log(ties) + log1p(rest / ties)")
        # infinite maxima are the result themselves (all -inf, or an inf); NaN passes through
        self.out.add(f"value = either((top == {infinity}) | (top == {minus}), top, value)")
        self.out.add(f"store({self.offsets[self.write].pointer}, {self.current[self.write]}, value)")

    # ---- the module ----------------------------------------------------------------------------

    def module(self) -> str:
        # sizes and strides may turn up while loops are written, but all are known before the first loop
        sizes = ["    " + line for line in self.head]
        pointers = [f"    t{k} = pointer_{dtype}(arguments[{k}])" for k, (_, dtype) in enumerate(self.kernel.dtypes)]
        memory = {"load", "fetch", "store", "either", "integer"} & self.imports
        memory |= {f"pointer_{dtype}" for _, dtype in self.kernel.dtypes}
        scalar = self.imports - memory
        text = _formula_text(self.source, self.kernel.dtypes)
        head = [
            f'"""{text}"""',
            "",
            "import numpy as np",
            "",
            f"from {_MODULE}.memory import {', '.join(sorted(memory))}",
            f"from {_MODULE}.memory import {'real32' if self.real == 'float32' else 'real64'} as real",
        ]
        steps = {"sum_step", "product_step", "rounding_error"}
        if scalar & steps:
            head.append(f"from {_MODULE}.scalar import {', '.join(sorted(scalar & steps))}")
        if scalar - steps:
            head.append(f"from {_MODULE}.scalar import NAMES")
        if self.powers:
            head.append(f"from {_MODULE}.scalar import power as powers")
        head.append("")
        head += [f'{name} = NAMES["{name}"]' for name in sorted(scalar - steps)]
        head += [f"power_{'minus_' if p < 0 else ''}{abs(p)} = powers({p})" for p in sorted(self.powers)]
        head += [f"{name} = np.{self.real}({value})" for value, name in self.constants.items()]
        head += ["", "", "def kernel(arguments):"]
        return "\n".join([*head, *pointers, *sizes, *self.out.lines, ""])


def _formula_text(statement: Statement, dtypes: Iterable[tuple[str, str]]) -> str:
    """The statement and its types as one safe line: tensors and axes have generated names."""
    text = f"{statement}; {', '.join(f'{t}: {d}' for t, d in dtypes)}"
    return re.sub(r"[^ -~]|[\"\\]", "?", text)


def _infix(name: str, texts: list[str]) -> str:
    return _INFIX[name].format(*texts)
