"""Scalar bodies as text: typed, with shared parts computed once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from graphc.errors import KernelError
from graphc.formula.expression import FUNCTIONS, Call, Expression, Number, Symbol
from graphc.kernels.cpu.writer import Lines

__all__ = ["Body"]

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


class Body:
    """Turns expressions into text for a kernel.

    Every text has a kind: ``"f"`` real of the kernel's type, ``"i"`` int64, ``"b"`` boolean. Integers stay
    integers until they meet a real; every literal is a typed constant, so a float32 kernel holds no double.
    """

    def __init__(self, out: Lines) -> None:
        self.out = out
        self.names: Mapping[str, tuple[str, str]] = {}
        self.shared: dict[Expression, tuple[str, str]] = {}
        self._temporaries = 0

    def write(self, body: Expression, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        """Write the shared parts of a body; return text and kind of its value.

        ``names`` gives text and kind of each placeholder.
        """
        self.names = names
        # subexpressions that occur more than once get a name
        counts: dict[Expression, int] = {}

        def visit(e: Expression) -> None:
            if isinstance(e, Call):
                counts[e] = counts.get(e, 0) + 1
                if counts[e] == 1:
                    for operand in e.operands:
                        visit(operand)

        visit(body)
        self.shared = {}

        def share(e: Expression) -> None:
            if isinstance(e, Call) and e not in self.shared:
                for operand in e.operands:
                    share(operand)
                if counts[e] > 1:
                    text, kind = self.typed(e)
                    self._temporaries += 1
                    self.out.add(f"x{self._temporaries} = {text}")
                    self.shared[e] = (f"x{self._temporaries}", kind)

        share(body)
        result = self.typed(body)
        self.shared = {}
        return result

    def typed(self, expression: Expression) -> tuple[str, str]:
        """Text and kind (``"f"`` real, ``"i"`` int64, ``"b"`` boolean) of an expression."""
        if expression in self.shared:
            return self.shared[expression]
        if isinstance(expression, Number):
            if isinstance(expression.value, int) and abs(expression.value) < 2**62:
                return str(expression.value), "i"
            return self.out.constant(expression.value), "f"
        if isinstance(expression, Symbol):
            if expression.name in self.names:
                return self.names[expression.name]
            if expression.name in self.out.variables:
                return expression.name, "i"
            return self.out.size(expression.name), "i"
        name = expression.function
        if name == "pow":
            return self.power(expression.operands[0], expression.operands[1])
        operands = [self.typed(o) for o in expression.operands]
        kinds = {kind for _, kind in operands}
        if name in ("and", "or", "not"):
            texts = [self.truth(o) for o in operands]
            return _infix(name, texts), "b"
        if name == "uniform":
            self.out.use("random_bits", "integer")
            words = ", ".join(text if kind == "i" else f"integer({text})" for text, kind in operands)
            return f"(real(random_bits({words})) * {self.out.constant(2.0**-24)})", "f"
        if name == "select":
            condition = self.truth(operands[0])
            self.out.use("either")
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
            self.out.use("floor")
            return f"floor({texts[0]} / {texts[1]})", "f"
        if name in ("add", "sub", "mul", "div", "neg"):
            return _infix(name, texts), "f"
        if name not in FUNCTIONS:
            raise KernelError(f"no CPU text for the scalar function {name!r}")
        spelled = {"abs": "absolute", "max": "maximum", "min": "minimum"}.get(name, name)
        self.out.use(spelled)
        return f"{spelled}({', '.join(texts)})", "f"

    def power(self, base: Expression, exponent: Expression) -> tuple[str, str]:
        """Powers: products for whole exponents, roots for halves."""
        x = self.as_real(self.typed(base), base)
        if isinstance(exponent, Number):
            value = exponent.value
            value = int(value) if float(value).is_integer() and abs(value) <= 64 else value
            if value == Fraction(1, 2):
                self.out.use("sqrt")
                return f"sqrt({x})", "f"
            if value == Fraction(-1, 2):
                self.out.use("sqrt")
                return f"({self.out.constant(1)} / sqrt({x}))", "f"
            if isinstance(value, int):
                if value == 1:
                    return x, "f"
                if value == -1:
                    return f"({self.out.constant(1)} / {x})", "f"
                self.out.powers.add(value)
                return f"power_{'minus_' if value < 0 else ''}{abs(value)}({x})", "f"
        self.out.use("power")
        y = self.as_real(self.typed(exponent), exponent)
        return f"power({x}, {y})", "f"

    def as_reals(self, operands: list[tuple[str, str]], expression: Call) -> list[str]:
        """Texts of all operands of a call as reals."""
        return [self.as_real(o, e) for o, e in zip(operands, expression.operands, strict=True)]

    def as_real(self, operand: tuple[str, str], expression: Expression) -> str:
        """Text of an operand converted to the real type of the kernel."""
        text, kind = operand
        if kind == "f":
            return text
        if isinstance(expression, Number):
            return self.out.constant(expression.value)
        if kind == "b":
            self.out.use("either")
            return f"either({text}, {self.out.constant(1)}, {self.out.constant(0)})"
        if re.fullmatch(r"n\d+_\w+", text):  # a size: converted once
            local = f"r{text}"
            line = f"{local} = real({text})"
            if line not in self.out.head:
                self.out.head.append(line)
            return local
        return f"real({text})"

    def truth(self, operand: tuple[str, str]) -> str:
        """Text of an operand as a condition: a number counts as true unless it is 0."""
        text, kind = operand
        if kind == "b":
            return text
        return f"({text} != {self.out.constant(0) if kind == 'f' else '0'})"


def _infix(name: str, texts: list[str]) -> str:
    return _INFIX[name].format(*texts)
