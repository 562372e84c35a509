"""Proofs: is a claim the gradient for all real inputs, wherever both are defined?

Both sides are turned into one quotient of polynomials in *generators* (symbols, exponentials of monomials,
roots, logarithms, sines), which is zero exactly if its numerator is. Kinks are taken apart first, one case for
each side. `prove` may take arbitrarily long: `Prover` runs it in a process of its own that is replaced when it
overruns.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from graphc.formula.expression import ONE, ZERO, Call, Expression, Number, to_text

__all__ = ["Prover", "prove", "prover"]

#: Most kinks that are taken apart; each doubles the number of cases.
_MOST_KINKS = 4


class _NeedsSignError(Exception):
    """The sign of a difference decides a kink and has not been assumed yet."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def prove(claim: Expression, gradient: Expression) -> str:
    """Try to prove two expressions equal.

    Returns
    -------
    str
        ``"equal"``; ``"equal away from ties"`` if kinks had to be taken apart; ``"unknown"``. Never that they
        differ: that is for points to show.
    """
    cases: list[dict[str, int]] = [{}]
    split = False
    while cases:
        signs = cases.pop()
        try:
            smooth = [_resolve(side, signs) for side in (claim, gradient)]
        except _NeedsSignError as need:
            if len(signs) >= _MOST_KINKS:
                return "unknown"
            split = True
            cases += [{**signs, need.key: 1}, {**signs, need.key: -1}]
            continue
        if not _equal(*smooth):
            return "unknown"
    return "equal away from ties" if split else "equal"


# ---- kinks ---------------------------------------------------------------------------------------


def _sign(a: Expression, b: Expression, signs: Mapping[str, int]) -> int:
    """Sign of ``a - b`` under the assumptions."""
    import sympy

    from graphc.formula.symbolic import to_sympy

    difference = sympy.expand(to_sympy(a, exact=True) - to_sympy(b, exact=True))
    if difference.is_positive or difference.is_negative:
        return 1 if difference.is_positive else -1
    if difference.is_zero:
        return 0
    flip = 1
    if difference.could_extract_minus_sign():
        difference, flip = -difference, -1
    if difference.is_Mul:  # 2*x and x have one sign
        difference = difference.as_coeff_Mul()[1]
    key = str(difference)
    if key not in signs:
        raise _NeedsSignError(key)
    return flip * signs[key]


_TRUE = {
    "less": {-1},
    "less_equal": {-1, 0},
    "greater": {1},
    "greater_equal": {1, 0},
    "equal": {0},
    "not_equal": {-1, 1},
}


def _resolve(expression: Expression, signs: Mapping[str, int]) -> Expression:
    """Choose the branch of every kink under the assumptions."""
    if not isinstance(expression, Call):
        return expression
    name = expression.function
    operands = [_resolve(o, signs) for o in expression.operands]
    match name, operands:
        case "max", [a, b]:
            return a if _sign(a, b, signs) >= 0 else b
        case "min", [a, b]:
            return a if _sign(a, b, signs) <= 0 else b
        case "abs", [a]:
            return a if _sign(a, ZERO, signs) >= 0 else Call("neg", (a,))
        case "sqrt", [Call("pow", (a, Number(2)))]:
            return _resolve(Call("abs", (a,)), signs)
        case "sqrt", [Call("mul", (a, b))] if a == b:
            return _resolve(Call("abs", (a,)), signs)
        case "pow", [Call("pow", (a, Number(2))), Number(Fraction(numerator=1, denominator=2) | 0.5)]:
            return _resolve(Call("abs", (a,)), signs)
        case "sign", [a]:
            return Number(_sign(a, ZERO, signs))
        case "and", [a, b]:
            return ONE if ZERO not in (a, b) else ZERO
        case "or", [a, b]:
            return ONE if ONE in (a, b) else ZERO
        case "not", [a]:
            return ONE if a == ZERO else ZERO
        case "select", [condition, a, b]:
            if not isinstance(condition, Number):
                condition = Number(_sign(condition, ZERO, signs))
            return b if condition == ZERO else a
    if name in _TRUE:
        return ONE if _sign(operands[0], operands[1], signs) in _TRUE[name] else ZERO
    return Call(name, tuple(operands))


# ---- smooth expressions ----------------------------------------------------------------------------


def _equal(a: Expression, b: Expression) -> bool:
    import sympy

    from graphc.formula.symbolic import to_sympy

    names = {"pi": sympy.pi}
    difference = to_sympy(a, names, exact=True) - to_sympy(b, names, exact=True)
    if difference == 0:
        return True
    difference = _elementary(difference)
    if difference == 0:
        return True
    generators = _Generators(difference)
    rational = generators.replace(difference)
    numerator, _ = sympy.fraction(sympy.together(rational))
    numerator = sympy.expand(numerator)
    for relation, generator in generators.relations:
        if numerator == 0:
            return True
        if numerator.has(generator):
            numerator = sympy.expand(sympy.rem(numerator, relation, generator))
    return numerator == 0


def _elementary(e: Any) -> Any:
    """Rewrite own functions and hyperbolic ones by exponentials and logarithms, powers by exponentials."""
    import sympy

    from graphc.formula.symbolic import own_functions

    classes = tuple(own_functions().values())
    hyperbolic = (sympy.tanh, sympy.sinh, sympy.cosh, sympy.coth, sympy.sech, sympy.csch)

    def rewrite(item: Any) -> Any:
        if not item.args:
            return item
        args = [rewrite(a) for a in item.args]
        if isinstance(item, classes):
            return rewrite(item.func(*args).definition())
        item = item.func(*args)
        if isinstance(item, hyperbolic):
            return item.rewrite(sympy.exp)
        if item.is_Pow and item.base is not sympy.E and not item.exp.is_Rational:
            return sympy.exp(sympy.expand(item.exp * sympy.log(item.base)))
        return item

    return rewrite(e)


class _Generators:
    """Independent symbols for what is not rational; ``relations`` reduce their powers."""

    def __init__(self, expression: Any) -> None:
        import sympy

        self.table: dict[Any, Any] = {}
        self.relations: list[tuple[Any, Any]] = []
        self.halves: dict[Any, int] = {}
        for exponential in expression.atoms(sympy.exp):
            for coefficient, monomial in self.monomials(exponential.args[0]):
                self.halves[monomial] = int(sympy.ilcm(self.halves.get(monomial, 1), coefficient.q))
        for root in expression.atoms(sympy.Pow):
            if root.exp.is_Rational and not root.exp.is_Integer:
                inner = root.base
                self.halves[inner] = int(sympy.ilcm(self.halves.get(inner, 1), root.exp.q))

    @staticmethod
    def monomials(exponent: Any) -> list[tuple[Any, Any]]:
        """``(rational coefficient, rest)`` of each term of an exponent."""
        import sympy

        result = []
        for term in sympy.Add.make_args(sympy.expand(exponent)):
            coefficient, rest = term.as_coeff_Mul()
            if not coefficient.is_Rational:
                coefficient, rest = sympy.Integer(1), term
            result.append((coefficient, rest))
        return result

    def fresh(self, key: Any) -> Any:
        import sympy

        if key not in self.table:
            self.table[key] = sympy.Symbol(f"g{len(self.table)}_", positive=True)
        return self.table[key]

    def power(self, base: Any, exponent: Any) -> Any:
        """``base**exponent`` for a rational exponent, by a root that is a generator."""
        import sympy

        inner = self.replace(base)
        if exponent.is_Integer:
            return inner**exponent
        order = self.halves.get(base, int(exponent.q))
        known = ("root", base, order) in self.table
        generator = self.fresh(("root", base, order))
        if not known:
            top, bottom = sympy.fraction(sympy.together(inner))
            self.relations.insert(0, (sympy.expand(bottom * generator**order - top), generator))
        return generator ** (exponent * order)

    def replace(self, e: Any) -> Any:
        import sympy

        if isinstance(e, sympy.exp):
            result = sympy.Integer(1)
            for coefficient, monomial in self.monomials(e.args[0]):
                if isinstance(monomial, sympy.log):
                    result *= self.power(monomial.args[0], coefficient)
                    continue
                order = self.halves.get(monomial, int(coefficient.q))
                # the monomial itself may hold generators, but as a name any text of it will do
                result *= self.fresh(("exp", monomial, order)) ** (coefficient * order)
            return result
        if e.is_Pow and e.exp.is_Rational:
            return self.power(e.base, e.exp)
        if e.is_Add or e.is_Mul:
            return e.func(*(self.replace(a) for a in e.args))
        if e.is_Symbol or e.is_Rational:
            return e
        if isinstance(e, sympy.sin | sympy.cos):
            sine, cosine = self.fresh(("sin", e.args[0])), self.fresh(("cos", e.args[0]))
            relation = (sine**2 + cosine**2 - 1, sine)
            if relation not in self.relations:
                self.relations.append(relation)
            return sine if isinstance(e, sympy.sin) else cosine
        if e.is_number and not e.args:
            return self.fresh(("number", e))
        return self.fresh(("other", sympy.expand(e)))


# ---- the process that proves ----------------------------------------------------------------------


class Prover:
    """A long-lived process that answers questions, one at a time, and is replaced when it overruns.

    Texts go to it as JSON lines and through graphc's own parser there; it answers each with one word.
    """

    #: Longest wait for a fresh process to load SymPy, in seconds.
    START = 30.0

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._ready = False
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to load a process, without waiting for it."""
        if self._owner != os.getpid():  # a forked child must not share the pipes of its parent
            self._process, self._owner, self._lock = None, os.getpid(), threading.Lock()
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH", ""))))
        self._ready = False
        self._process = subprocess.Popen(
            # -P: a file of the user's folder must not stand in for a module
            [sys.executable, "-P", "-W", "ignore", "-m", "graphc.checking.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._answers = queue.Queue()
        reader = threading.Thread(
            target=_forward, args=(self._process.stdout, self._answers), name="graphc prover", daemon=True
        )
        reader.start()

    def ready(self) -> None:
        """Wait until a process is loaded, if it has to be."""
        with self._lock:
            self.start()
            try:
                self._wait()
            except queue.Empty:  # then the first question says so
                self.stop()

    def _wait(self) -> None:
        if not self._ready:
            self._answers.get(timeout=self.START)
            self._ready = True

    def prove(self, claim: Expression, gradient: Expression, seconds: float) -> str:
        """Ask for a proof.

        Parameters
        ----------
        seconds : float
            Time for the answer, not counting the start of the process.

        Returns
        -------
        str
            What `prove` says, or ``"timeout"``.
        """
        with self._lock:
            self.start()
            process = self._process
            assert process is not None
            assert process.stdin is not None
            try:
                self._wait()
                texts = {"claim": to_text(claim), "gradient": to_text(gradient)}
                question = json.dumps({**texts, "seconds": seconds})
                process.stdin.write(question + "\n")
                process.stdin.flush()
                answer = self._answers.get(timeout=seconds)
            except queue.Empty:
                self.stop()
                self.start()  # the next question finds a process that is loaded or nearly so
                return "timeout"
            except OSError:  # it died between two questions
                self.stop()
                return "unknown"
            if answer == "":
                self.stop()
                return "unknown"
            return answer

    def stop(self) -> None:
        """End the process, if it is ours."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # a broken pipe is what closing it was for


def _forward(pipe: Any, answers: queue.Queue[str]) -> None:
    """Put each line into the queue, and an empty one at the end."""
    try:
        for line in pipe:
            answers.put(line.strip())
    except (ValueError, OSError):  # the pipe was closed while we waited
        pass
    answers.put("")


@functools.cache
def prover() -> Prover:
    """Return the prover of this process; it ends when Python does."""
    made = Prover()
    atexit.register(made.stop)
    return made
