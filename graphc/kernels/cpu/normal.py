"""The normal form of a statement that loop nests are written from.

Axes get generated names (``i0``, ``i1``, derived ones ``l0``); reads that are zero outside become guards where the
body vanishes with them; a derived axis (``i = (p + 1 - r) / 2``) takes the place of a reduced axis, so that neither a
division nor a test of divisibility is left in a loop; ranges become linear inequalities ``form >= 0``.
"""

from __future__ import annotations

from graphc.formula.expression import ZERO, Symbol, substitute
from graphc.formula.statement import (
    Access,
    Affine,
    Divides,
    Interval,
    Let,
    Statement,
    Wins,
    Zero,
    affine,
    substitute_axes,
)

__all__ = ["Normal"]


class Normal:
    """A statement with generated names; built once, then only read.

    Attributes
    ----------
    free, reduced : list of str
        Axes in the write index and the others, in iteration order.
    extents : dict
        Extent of each axis; an axis that was solved for has none, only inequalities.
    inequalities : list of Affine
        Forms that must not be negative.
    divides, wins : list
        The other guards.
    """

    def __init__(self, s: Statement) -> None:
        self.operator = s.operator
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
        self.inequalities: list[Affine] = []
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
                self.inequalities += [form, form * -1]
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
                self.inequalities.append(form)
        self.eliminate_lets()
        self.resolve_lets()

    def within(self, access: Access) -> list[Interval]:
        """Guards that keep an access within its tensor, without those that hold anyway."""
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
            if not exact or not choices or self.operator in ("argmax", "argmin"):
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
            self.inequalities = [q.substitute(replace) for q in self.inequalities]
            extent = self.extents.pop(axis)
            self.inequalities += [solution, extent - solution - 1]
            self.lets = [Let(o.name, o.numerator.substitute(replace), o.divisor) for o in self.lets]
            self.reads = {p: a.substitute(replace) for p, a in self.reads.items()}
            self.wins = [
                Wins(w.access.substitute(replace), tuple((i.substitute(replace), e) for i, e in w.axes))
                for w in self.wins
            ]
            self.body = substitute_axes(self.body, replace)
            self.reduced[self.reduced.index(axis)] = let.name
            self.axes[self.axes.index(axis)] = let.name

    def resolve_lets(self) -> None:
        """Limits on a derived axis become limits on its numerator (floor division keeps order)."""
        lets = {let.name: let for let in self.lets}
        changed = True
        while changed:
            changed = False
            for k, q in enumerate(self.inequalities):
                for name in q.names():
                    if name in lets and abs(q.coefficient(name)) == 1:
                        let, c = lets[name], q.coefficient(name)
                        rest = q - affine({name: c})
                        if any(other in lets for other in rest.names()):
                            continue
                        if c == 1:  # l >= -rest
                            form = let.numerator + rest * let.divisor
                        else:  # l <= rest
                            form = (rest + 1) * let.divisor - let.numerator - 1
                        self.inequalities[k] = form
                        changed = True
                        break
