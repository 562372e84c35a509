"""Reading text: the language is read exactly, everything else is refused, and nothing is ever executed."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import pytest

from graphc.errors import FormulaError
from graphc.formula.expression import Call, Number, Symbol
from graphc.formula.parser import MAXIMUM_LENGTH, parse_expression, parse_lines

X, Y = Symbol("x"), Symbol("y")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", X),
        (" x ", X),
        ("(x)", X),
        ("+x", X),
        ("-x", Call("neg", (X,))),
        ("--x", X),
        ("-2", Number(-2)),
        ("2.5", Number(2.5)),
        ("1e-3", Number(1e-3)),
        ("inf", Number(float("inf"))),
        ("-inf", Number(float("-inf"))),
        ("1/3", Number(Fraction(1, 3))),
        ("4/2", Number(2)),
        ("x + y", Call("add", (X, Y))),
        ("x - y", Call("sub", (X, Y))),
        ("x*y", Call("mul", (X, Y))),
        ("x/y", Call("div", (X, Y))),
        ("x//y", Call("floordiv", (X, Y))),
        ("x**2", Call("pow", (X, Number(2)))),
        ("-x**2", Call("neg", (Call("pow", (X, Number(2))),))),
        ("x**-1", Call("pow", (X, Number(-1)))),
        ("x**y**2", Call("pow", (X, Call("pow", (Y, Number(2)))))),
        ("x - y - x", Call("sub", (Call("sub", (X, Y)), X))),
        ("exp(x)", Call("exp", (X,))),
        ("max(x, y)", Call("max", (X, Y))),
        ("max(x, y, 2)", Call("max", (X, Call("max", (Y, Number(2)))))),
        ("x if x > y else y", Call("select", (Call("greater", (X, Y)), X, Y))),
        ("select(x >= y, x, 1)", Call("select", (Call("greater_equal", (X, Y)), X, Number(1)))),
        ("x == y", Call("equal", (X, Y))),
        ("x != y", Call("not_equal", (X, Y))),
        ("not x < y", Call("not", (Call("less", (X, Y)),))),
        ("x <= y and y < 1 or x > 2", Call("or", (
            Call("and", (Call("less_equal", (X, Y)), Call("less", (Y, Number(1))))),
            Call("greater", (X, Number(2))),
        ))),
        ("size(x, 1)", Symbol("x.1")),
        ("logaddexp(x, y)", Call("logaddexp", (X, Y))),
    ],
)  # fmt: skip
def test_text_becomes_the_expression_in_the_order_written(text: str, expected: object) -> None:
    assert parse_expression(text) == expected


def test_neutral_elements_are_dropped_and_nothing_else() -> None:
    assert parse_expression("x + 0") == X
    assert parse_expression("1*x") == X
    assert parse_expression("x - x") == Call("sub", (X, X))
    assert parse_expression("y + x") == Call("add", (Y, X))


def read_formula(text: str) -> None:
    """Split into lines and read the right-hand sides: what is Python but no formula is refused there."""
    for line in (line.text for line in parse_lines(text)):
        parse_expression(line.partition("=")[2])


HOSTILE = [
    "__import__('os').system('touch {file}')",
    "open('{file}', 'w')",
    "exec(\"open('{file}', 'w')\")",
    "eval(\"open('{file}', 'w')\")",
    "compile('1', '{file}', 'exec')",
    "(lambda: open('{file}', 'w'))()",
    "[open('{file}', 'w') for _ in (1,)]",
    "{{open('{file}', 'w'): 1}}",
    "{{open('{file}', 'w')}}",
    "f\"{{open('{file}', 'w')}}\"",
    "(x := open('{file}', 'w'))",
    "x if open('{file}', 'w') else y",
    "exp(open('{file}', 'w'))",
    "exp(*open('{file}', 'w'))",
    "exp(x=open('{file}', 'w'))",
    "x[open('{file}', 'w')]",
    "x.__class__.__base__.__subclasses__()",
    "().__class__",
    "getattr(x, 'y')",
    "__builtins__",
    "__class__",
    "print(x)",
    "(yield)",
    "await x",
    "...",
    "`x`",
    "x; import os",
    "import os",
    "x = 1",
    "x\nimport os",
    "'text'",
    "b'bytes'",
    "True",
    "None",
    "1j",
    "x, y",
    "[x]",
    "x @ y",
    "x % y",
    "x << 2",
    "~x",
    "x is y",
    "x in y",
    "x < y < z",
    "*x",
    "x\x00",
    "",
    "   ",
    "# only a comment",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_and_nothing_is_executed(text: str, tmp_path: Path) -> None:
    target = tmp_path / "written"
    loaded = set(sys.modules)
    with pytest.raises(FormulaError):
        parse_expression(text.format(file=target) if "{file}" in text else text)
    with pytest.raises(FormulaError):
        read_formula("y = " + (text.format(file=target) if "{file}" in text else text))
    assert not target.exists()
    assert not {m for m in set(sys.modules) - loaded if m in ("os", "subprocess", "antigravity")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expp(x)", "'expp' is not a function of the formula language; did you mean 'exp'"),
        ("system(x)", "known functions: abs, cos, .* Nothing was executed"),
        ("x^2", "powers are written \\*\\*"),
        ("x[0]", "an index is not allowed in a scalar expression"),
        ("exp(x, y)", "exp takes 1 operand\\(s\\), found 2"),
        ("max(x)", "max takes 2 operand\\(s\\), found 1"),
        ("size(x, y)", "write size\\(tensor, dimension\\)"),
        ("size(x, True)", "write size\\(tensor, dimension\\)"),
        ("x +", "cannot read 'x \\+'"),
        ("a b", "cannot read 'a b'"),
        ("'text'", "is not a number; a formula holds only numbers and names"),
        ("x.shape", "'x.shape' is not part of the formula language; nothing was executed"),
    ],
)
def test_a_refusal_says_what_is_not_in_the_language(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse_expression(text)


def test_names_can_be_limited_with_a_suggestion() -> None:
    assert parse_expression("w0 + 1", names={"w0", "w1"}) == Call("add", (Symbol("w0"), Number(1)))
    with pytest.raises(FormulaError, match="unknown name 'weight'; did you mean 'weights'"):
        parse_expression("weight", names={"weights"})


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300 + "x" + ")" * 300,
        "-" * 5000 + "x",
        "x**" * 3000 + "x",
        "exp(" * 400 + "x" + ")" * 400,
        "not " * 2000 + "x",
        "+".join(["x"] * 15_000),
        "9" * 5000,
    ],
    ids=["brackets", "signs", "powers", "calls", "nots", "long", "digits"],
)
def test_text_that_would_exhaust_the_stack_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_expression(text)


def test_the_longest_text_is_bounded_and_ordinary_depth_is_read() -> None:
    with pytest.raises(FormulaError, match=f"at most {MAXIMUM_LENGTH}"):
        parse_expression("x" * (MAXIMUM_LENGTH + 1))
    deep = parse_expression("(" * 100 + "x" + ")" * 100)
    assert deep == X
    assert parse_expression(" + ".join(["x"] * 100)) != X


@pytest.mark.parametrize("value", [None, 3, b"x", ["x"]])
def test_what_is_not_text_is_refused(value: object) -> None:
    with pytest.raises(FormulaError, match="expected text, found"):
        parse_expression(value)  # pyright: ignore[reportArgumentType]


def test_lines_are_split_into_target_index_and_text() -> None:
    lines = parse_lines("z[n] = logsumexp(x[n,c], c)\n\n# a remark\nloss = mean(z[n], n)\nflat(y)[e] = flat(x)[e]")
    assert [line.target for line in lines] == ["z", "loss", "flat(y)"]
    assert [None if line.indices is None else len(line.indices) for line in lines] == [1, None, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the formula is empty"),
        ("x + y", "a formula line is"),
        ("y -= x", "a formula line is"),
        ("y = x = z", "a formula line is"),
        ("y, z = x", "is not a name"),
        ("y.z = x", "is not a name"),
        ("y(x) = 1", "cannot read"),
        ("f(x)[0] = 1", "only tensors and flat"),
        ("del x", "a formula line is"),
        ("import os", "a formula line is"),
        ("y = x; import os", "a formula line is"),
        ("y: int = x", "a formula line is"),
    ],
)
def test_a_line_that_is_no_assignment_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse_lines(text)
