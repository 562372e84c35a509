"""Hostile claims: what is not a formula is refused at once, with its reason, and nothing in it is executed."""

from __future__ import annotations

import ast
import builtins
import contextlib
import os
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.checking.claims import read_claim
from graphc.checking.language import shape_of
from graphc.formula.size import named
from tests.checking.test_language import Graph, Names

x, y, p = graphc.inputs("x y p")
f = graphc.tanh(x * y * p).named("f")

#: Each text with a phrase of the message that says why it is refused.
HOSTILE = [
    # Python that is no formula
    ("__import__('os').system('touch /tmp/graphc_was_here')", "text in quotes"),
    ("__import__(os).system(touch)", "'__import__' is not"),
    ("().__class__.__bases__[0].__subclasses__()", "expected"),
    ("x.__class__", "x.__class__ is not part of the language"),
    ("x.__class__.__init__.__globals__", "x.__class__ is not part of the language"),
    ("x.grad_fn", "x.grad_fn is not part of the language"),
    ("x.T.__reduce__()", "__reduce__ is not part of the language"),
    ("canary.fire", "no node 'canary'"),
    ("canary.fire()", "no node 'canary'"),
    ("canary", "no node 'canary'"),
    ("np.load(weights)", "'np.load' is not a function"),
    ("np.fromfile('x')", "'np.fromfile' is not a function"),
    ("np.__loader__", "'np.__loader__' is not a function"),
    ("np.lib.npyio.os.system('true')", "is not a function that claims know"),
    ("os.system('true')", "no node 'os'"),
    ("math.__dict__", "'math.__dict__' is not a function"),
    ("(lambda: 1)()", "'lambda' is not part of the language"),
    ("lambda q: q", "'lambda' is not part of the language"),
    ("[x for x in (1, 2)]", "'for' is not part of the language"),
    ("sum(x for x in y)", "'for' is not part of the language"),
    ("{x: y}", "':' at position 3"),
    ("f'{x}'", "APOSTROPHE"),
    ('f"{x}"', "QUOTATION MARK"),
    ("'x' * 1000", "text in quotes"),
    ("'%s' % x", "text in quotes"),
    ("'{0.__class__}'.format(x)", "text in quotes"),
    ("{x.__class__}", "x.__class__ is not part of the language"),
    ("{0.__class__.__init__.__globals__}", "__class__"),
    ("%(x)s", "'%' at position 1"),
    ("x['a']", "not a text in quotes"),
    ('x["__class__"]', "text in quotes"),
    ("open(passwd).read()", "'open' is not"),
    ("eval('1')", "text in quotes"),
    ("eval(x)", "'eval' is not"),
    ("exec(x)", "'exec' is not"),
    ("compile(x, y, p)", "'compile' is not"),
    ("getattr(x, 'y')", "'getattr' is not"),
    ("breakpoint()", "'breakpoint' is not"),
    ("globals()", "'globals' is not"),
    ("input()", "'input' is not"),
    ("__name__", "'__name__' is not a name"),
    ("x := 3", "more than one ="),
    ("(x := 3)", "':=' is not part"),
    ("exp(x := 3)", "':=' is not part"),
    ("import os", "'import' is not"),
    ("from os import path", "'from' is not"),
    ("await x", "'await' is not"),
    ("yield x", "'yield' is not"),
    ("x; y", "';' in the claim"),
    ("x, y", "not a list"),
    ("(x, y)", "not a list"),
    ("[x, y]", "list in the claim"),
    ("*x", r"'\*' at position 1"),
    ("exp(*x)", "starred argument"),
    ("exp(**x)", "starred argument"),
    ("exp(x, y)", "takes 1 operand, found 2"),
    ("exp(x=1)", r"it is written exp\("),
    ("exp()", "takes 1 operand, found 0"),
    ("x is y", "'is' is not part"),
    ("x in y", "'in' is not part"),
    ("x if y", "ends where 'else' is missing"),
    ("x & y", "joins two conditions"),
    ("~x", "before a condition"),
    ("x -> y", "'->'"),
    ("x!", "'!' at position 2"),
    ("x % y", "'%' at position 3"),
    ("x # y", "NUMBER SIGN"),
    ("`x`", "GRAVE ACCENT"),
    ("x ? y : p", "QUESTION MARK"),
    ("True", "'True' is no value"),
    ("None", "'None' is no value"),
    ("...", r"'\.' at position 1"),
    ("1j", "no node 'j'"),
    ("x.", "is not part of the language"),
    ("x = 3", "names no gradient"),
    ("dx", "the gradient that the claim is for"),
    ("df/dx", "the gradient that the claim is for"),
    ("df/dy = x", "the gradient of 'y', and the claim is for 'x'"),
    ("dq/dx = x", "the derivative of 'q'"),
    ("df/dx = y = p", "more than one ="),
    ("uniform(x, y, p)", "'uniform' is not a function"),
    # LaTeX
    (r"\input{/etc/passwd}", r"\\input is not a command"),
    (r"\write18{true}", r"\\write is not a command"),
    (r"\def\x{\x\x}\x", r"\\def is not a command"),
    (r"\csname x\endcsname", r"\\csname is not a command"),
    (r"\begin{verbatim}x\end{verbatim}", "cases"),
    (r"\frac{x}", "missing"),
    (r"\frac{x}{y", "missing"),
    (r"x_{y", "not closed"),
    (r"\left(x", "missing"),
    (r"\sqrt[", "missing"),
    # characters
    ("", "the claim is empty"),
    ("   ", "the claim is empty"),
    ("\0", r"U\+0000"),
    ("x\0y", r"U\+0000"),
    ("x*\u202ey", r"U\+202E, RIGHT-TO-LEFT OVERRIDE"),
    ("x*y\u2066", r"U\+2066, LEFT-TO-RIGHT ISOLATE"),
    ("x\u200by", r"U\+200B, ZERO WIDTH SPACE"),
    ("\ufeffx", r"U\+FEFF"),
    ("\u0445*y", "CYRILLIC SMALL LETTER HA.*did you mean 'x'"),
    ("\u0440*y", "CYRILLIC SMALL LETTER ER.*did you mean 'p'"),
    ("x + \uff59", "FULLWIDTH LATIN SMALL LETTER Y"),
    ("x\ny", "line break"),
    ("x\x1b[31my", r"U\+001B"),
    ("😀", "GRINNING FACE"),
    ("\ud800", r"U\+D800"),
    # size
    ("(" * 1000 + "x" + ")" * 1000, "nested too deeply"),
    ("-" * 5000 + "x", "nested too deeply"),
    ("exp(" * 1900 + "x" + ")" * 1900, "nested too deeply"),
    ("x**" * 2000 + "x", "nested too deeply"),
    ("x^" * 2000 + "x", "nested too deeply"),
    (r"\frac{1}{" * 900 + "x" + "}" * 900, "nested too deeply"),
    ("|" * 4000 + "x", "."),
    ("[" * 4000 + "x", "nested too deeply"),
    ("f(" * 2000 + "x" + ")" * 2000, "nested too deeply"),
    ("not " * 2000 + "x", "nested too deeply"),
    ("x if y else " * 700 + "x", "nested too deeply"),
    ("x + " * 100_000 + "x", "characters"),
    ("x + " * 2000 + "x", "operations build on each other"),
    ("x*" * 3000 + "x", "operations"),
    ("x" * 9000, "operations"),
    ("np.var(" * 50 + "x" + ")" * 50, "more than 2000 operations"),
    ("cosh(" * 50 + "x" + ")" * 50, "more than 2000 operations"),
    ("Heaviside(" * 50 + "x" + ")" * 50, "more than 2000 operations"),
    ("sigma'(" * 50 + "x" + ")" * 50, "more than 2000 operations"),
    ("log_softmax(" * 50 + "x" + ")" * 50, "more than 2000 operations|no axes"),
    ("9" * 9000, "too large to be read"),
    ("1e999", "too large to be read"),
    ("1e-999", "too large to be read"),
    ("1e" + "9" * 5000, "too large to be read"),
    ("9**9**9**9", "exponents go up to 1000"),
    ("9**-9**9**9", "exponents go up to 1000"),
    ("x**1000000007", "exponents go up to 1000"),
    ("x^{10^{10}}", "exponents go up to 1000"),
    ("x" + "⁹" * 5000, "too large"),
    ("(((((9**99)**99)**99)**99)**99)**99", "those of nested powers multiplied"),
    ("np.power(9, 999999999)", "exponents go up to 1000"),
    ("((x^999)^999)", "exponents go up to 1000"),
]


# derivatives of functions come from a table of graphc's own, which is parsed once
read_claim(x, "sigma'(x)", Names(Graph(f)))  # type: ignore[arg-type]


class Canary:
    """Anything that touches it is noticed."""

    touched = False

    def __getattr__(self, name: str) -> Any:
        Canary.touched = True
        raise AssertionError(f"the claim touched {name}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        Canary.touched = True
        raise AssertionError("the claim called the canary")


@contextlib.contextmanager
def nothing_executed() -> Iterator[None]:
    """Refuse every way by which text becomes code, a process or a file, as long as it lasts."""
    import sympy

    used: list[str] = []

    def refusing(name: str) -> Any:
        def refused(*_: Any, **__: Any) -> Any:
            used.append(name)
            raise AssertionError(f"reading a claim called {name}")

        return refused

    imported = builtins.__import__

    def importing(name: str, *arguments: Any, **settings: Any) -> Any:
        if name not in sys.modules:
            used.append(f"import {name}")
        return imported(name, *arguments, **settings)

    Canary.touched = False
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in [
            (builtins, "eval"), (builtins, "exec"), (builtins, "compile"), (builtins, "open"), (builtins, "input"),
            (os, "system"), (os, "popen"), (subprocess, "Popen"), (pickle, "loads"), (ast, "parse"),
            (ast, "literal_eval"), (sympy, "sympify"),
        ]:  # fmt: skip
            patch.setattr(owner, name, refusing(name))
        patch.setattr(builtins, "__import__", importing)
        patch.setattr(builtins, "canary", Canary(), raising=False)
        yield
    assert used == []
    assert not Canary.touched


def test_the_list_is_as_long_as_promised() -> None:
    assert len({text for text, _ in HOSTILE}) == len(HOSTILE) >= 30


def test_the_canary_sings() -> None:
    with pytest.raises(AssertionError), nothing_executed():
        eval("canary.fire")
    with pytest.raises(AssertionError), nothing_executed():
        import this  # noqa: F401 - the point of the test


@pytest.mark.parametrize(("text", "message"), HOSTILE, ids=lambda value: repr(value[:24]))
def test_hostile_text_is_refused_with_its_reason_and_nothing_is_executed(text: str, message: str) -> None:
    names = Names(Graph(f))  # type: ignore[arg-type]
    refusal: graphc.CheckError | None = None
    start = time.perf_counter()
    with nothing_executed():
        try:
            read_claim(x, text, names)
        except graphc.CheckError as error:  # caught here: pytest itself compiles code while it formats errors
            refusal = error
    assert time.perf_counter() - start < 2
    assert refusal is not None
    said = str(refusal)
    assert re.search(f"(?s)the claim for 'x'.*{message}", said), said
    assert len(said) < 600
    assert all(line.isprintable() for line in said.split("\n"))
    assert refusal.node is x
    assert refusal.__cause__ is None


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE], ids=lambda text: repr(text[:24]))
def test_hostile_text_is_refused_by_check_too(text: str) -> None:
    with pytest.raises(graphc.CheckError, match="the claim for 'x'"):
        graphc.check(f, {"x": text}, proof_seconds=0)


ROWS = graphc.input("X", ("N", 3))
WEIGHT, BIAS = graphc.parameter("W", (3, 4)), graphc.parameter("b", (4,))
LOSS = graphc.sum(graphc.tanh(ROWS @ WEIGHT + BIAS).named("h")).named("L")


@pytest.mark.parametrize(
    "text",
    [
        "np.ones((99999, 99999))",
        "sum(np.zeros((10**5, 10**5)))",
        "np.eye(1000000)",
        "np.arange(10**9)[0]",
        "one_hot(b, 10**9).sum()",
        "np.outer(np.outer(np.outer(np.outer(b, W), W), b), np.outer(np.outer(b, W), W)).sum()",
        "(" + "*".join(f"b[{'None, ' * k}:{', None' * (11 - k)}]" for k in range(12)) + ").sum()",
        "np.convolve(np.ones(999999), np.ones(999999)).sum()",
    ],
)
def test_claims_that_would_fill_the_memory_are_refused(text: str) -> None:
    names = Names(Graph(LOSS))  # type: ignore[arg-type]
    with pytest.raises(graphc.CheckError, match="makes an array of shape|exponents go up"):
        read_claim(WEIGHT, text, names)


def test_an_index_beyond_the_size_of_an_axis_is_an_error_of_the_claim() -> None:
    names = Names(Graph(LOSS))  # type: ignore[arg-type]
    claim = read_claim(WEIGHT, "W * X[7, 0]", names)
    with pytest.raises(graphc.CheckError, match="cannot be computed with W of shape .*index 7 is out of bounds"):
        claim.value({"W": np.ones((3, 4)), "X": np.ones((2, 3))}, "double")


def test_random_scraps_about_arrays_never_crash() -> None:
    generator = random.Random(9)
    scraps = [
        "X", "W", "b", "h", "L", "N", "dh", "2", "0", "-1", "+", "-", "*", "/", "**", "^", "(", ")", "[", "]", ":", ",",
        ".T", ".sum(", ".shape", "@", "·", "⊙", "⊗", "ᵀ", "^T", "np.", "sum(", "outer(", "reshape(", "axis=", "None",
        "_{ij}", "_i", "_j", "\\sum_i", "\\sum_{j}", "\\mathbf{1}", "\\top", "concatenate(", "softmax(", "one_hot(",
        "dL/dW_{ij} =", "dW =", "{", "}", " ", "=", "\\delta_{ij}", "einsum(", "'ij->j'", "[0]", "[:, 0]", "mean(",
    ]  # fmt: skip
    names = Names(Graph(LOSS))  # type: ignore[arg-type]
    arrays = {
        name: np.ones([2 if extent == named("N") else extent for extent in nodes[0].shape])
        for name, nodes in names.nodes.items()
    }
    read = valued = 0
    for _ in range(6000):
        text = "".join(generator.choice(scraps) for _ in range(generator.randint(1, 8)))
        with contextlib.suppress(graphc.CheckError):
            claim = read_claim(WEIGHT, text, names)
            read += 1
            assert claim.expression is not None
            shape_of(claim.expression, names.shapes)
            known = {name: arrays[name] for name in claim.nodes}
            known |= {name: arrays[node.label] for name, node in claim.upstream.items()}
            claim.value(known, "double")
            valued += 1
    assert read > 100
    assert valued > 80


def test_random_scraps_of_the_language_are_read_or_refused_but_never_crash() -> None:
    generator = random.Random(7)
    scraps = [
        "x", "y", "f", "2", "1.5", "+", "-", "*", "/", "**", "^", "(", ")", "[", "]", "{", "}", "|", ",", "=", ".", "'",
        "_", "\\frac", "\\sigma", "\\cdot", "\\sum_i", "\\left", "\\right", "exp", "np", "T", "if", "else", "and", ">",
        "σ", "²", "√", "ᵀ", "∂", "d", "\\begin{cases}", "\\end{cases}", "&", "\\\\", "@", ":", " ", "e", "sum", "axis",
        "\\hat", "\\mathbf{1}", "\\mathbb{1}", "not", "lambda", "∑", "shape", "None", "\\|", "\\partial", "\\nabla",
    ]  # fmt: skip
    names = Names(Graph(f))  # type: ignore[arg-type]
    read = 0
    for _ in range(4000):
        text = "".join(generator.choice(scraps) for _ in range(generator.randint(1, 9)))
        with contextlib.suppress(graphc.CheckError):
            read_claim(x, text, names)
            read += 1
    assert read > 40
