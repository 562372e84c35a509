"""Reading claims: what people write is understood, what is not a formula is refused and never executed."""

from __future__ import annotations

import time
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import graphc
from graphc.checking.claims import Claim, Names, read_claim
from graphc.formula.expression import Call, Number, Symbol
from graphc.graph.node import Node, topological

x, y = graphc.inputs("x y")
f = graphc.tanh(x * y).named("f")


@pytest.mark.parametrize(
    "text",
    [
        "(1 - f**2)*y",
        "y - y*f*f",
        "y/cosh(x*y)**2",
        "y*sech(x*y)**2",
        "4*y/(exp(x*y) + exp(-x*y))**2",
        "y*(1 - (sinh(x*y)/cosh(x*y))**2)",
        "y*(1 - tanh(x*y))*(1 + tanh(x*y))",
        "y*(1-((exp(x*y)-exp(-x*y))/(exp(x*y)+exp(-x*y)))**2)",
        "y * e**(log(1 - f**2))",
        "y*(1 - (2*sigmoid(2*x*y) - 1)**2)",
        " y * sech2( x*y ) ",
        "-y*(f - 1)*(f + 1)",
        "y*(1 - pow(f, 2))",
        "y*(1 - square(f))*sin(pi/2)",
        "y*(1 - f**2)*cos(x - y)**2 + y*(1 - f**2)*sin(x - y)**2",
        "y*(1 - Abs(f)**2)",
        "y*(1 - f**2)*ln(e)",
    ],
)
def test_spellings_of_one_gradient_are_all_right(text: str) -> None:
    assert graphc.check(f, {"x": text}, proof_seconds=0)["x"].verdict == "agrees"


def test_numbers_and_sympy_expressions_are_claims() -> None:
    a, b = sympy.symbols("x y")
    report = graphc.check(f, {"x": b * (1 - sympy.tanh(a * b) ** 2), "y": a / sympy.cosh(a * b) ** 2}, proof_seconds=0)
    assert report.ok
    assert graphc.check(x + y, {"x": 1, "y": 1.0}, proof_seconds=0).ok
    assert graphc.check(3 * x, {"x": sympy.Integer(3)}, proof_seconds=0).ok
    assert graphc.check(graphc.relu(x), {"x": sympy.Heaviside(a)}, proof_seconds=0).ok
    assert graphc.check(graphc.max(x, 0), {"x": sympy.Piecewise((1, a > 0), (0, True))}, proof_seconds=0).ok
    assert graphc.check(x * 3.141592653589793, {"x": "pi"}, proof_seconds=0).ok


@pytest.mark.parametrize(
    "text",
    [
        "exp(exp(exp(exp(x + 9))))",
        "sin(9**900)",
        "cos(exp(exp(30)))",
        "exp(9**900)",
        "1e300**3",
        "(x - x)/(y - y)",
        "log(-1 - x**2)",
        "0**(-1)",
        "x**1000",
        "exp(9**99) - exp(9**99) + y*(1 - f**2)",
    ],
)
def test_enormous_numbers_do_not_hang(text: str) -> None:
    start = time.perf_counter()
    finding = graphc.check(f, {"x": text}, proof_seconds=1)["x"]
    assert finding.verdict == "differs"
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w*2", "there is no node 'w'"),
        ("x_1*2", "there is no node 'x_1'"),
        ("X*y", "did you mean 'x'"),
        ("x**2 + y^2", r"write one of them"),
        ("1/2x", r"\(1/2\)\*x and as 1/\(2\*x\); write the brackets"),
        ("x/y(1 - f)", "write the brackets"),
        ("e^xy", r"e\^\(xy\), or e\^x\*y"),
        ("x y 2", "the number 2 behind a factor"),
        ("2 3", "the number 3 behind a factor"),
        (r"x^{(2)}", r"raised is a layer.*A power is written \^2"),
        ("E*x", "there is no node 'E'"),
        ("f(x, y)", r"a product or the value of f at x, y"),
        (r"\ln x y", r"write ln\(\.\.\.\)"),
        (r"\tanh^{-1}(x)", "the inverse function or 1/tanh"),
        (r"\fraq{1}{x}", r"did you mean 'frac'"),
        (r"h_{t-1} x", "running index 't-1'.*h_prev"),
        ("sigmoidd(x)", "did you mean 'sigmoid'"),
        ("np.sigmoyd(x)", "did you mean 'sigmoid'"),
        ("x.summ()", "did you mean 'sum'"),
        ("exp", "brackets"),
        ("cosh(x, y)", "takes 1 operand"),
        ("Heaviside()", r"missing .*'x'; it is written Heaviside\(x, at_zero=0\)"),
        ("np.sum(x, axes=0)", r"it is written np.sum\("),
        ("y = x", "right-hand side"),
        ("df/dy = x", "the gradient of 'y', and the claim is for 'x'"),
        ("dg/dx = y", "the derivative of 'g'"),
        ("dx * 2", "the claim is for"),
        ("gamma(x)", "not a function"),
        ("[x + y]", "square brackets hold a condition"),
        ("x.shape", "tuple of extents"),
        ("np.convolve(x, y, 'vald')", "the mode of convolve is 'valid' or 'full' or 'same'"),
    ],
)
def test_message_says_what_to_change(text: str, message: str) -> None:
    with pytest.raises(graphc.CheckError, match=message):
        graphc.check(f, {"x": text}, proof_seconds=0)


def test_names_follow_the_graph() -> None:
    e, pi = graphc.inputs("e pi")
    assert graphc.check(e * pi, {"e": "pi", "pi": "e"}, proof_seconds=0).ok
    own = (x * y).named("g")
    other = (own + x).named("f")
    report = graphc.check(other * 2, {"x": "2*y + 2", own: 2, "f": "2"}, proof_seconds=0)
    assert report.ok
    assert report[own].name == "g"
    assert graphc.check(x * y, {"x": "f/x"}, proof_seconds=0).ok  # f is the root where nothing has the name


def test_bad_subjects_and_claims_are_refused() -> None:
    with pytest.raises(graphc.CheckError, match="needs a node"):
        graphc.check("x*y", {"x": "y"})
    with pytest.raises(graphc.CheckError, match="no node 'w'"):
        graphc.check(f, {"w": "y"})
    with pytest.raises(graphc.CheckError, match="no claims"):
        graphc.check(f, {})
    with pytest.raises(graphc.CheckError, match="wrt="):
        graphc.check(f, "y")
    with pytest.raises(graphc.CheckError, match="single claim"):
        graphc.check(f, {"x": "y"}, wrt="x")
    with pytest.raises(graphc.CheckError, match="seconds"):
        graphc.check(f, {"x": "y"}, proof_seconds=-1)
    with pytest.raises(graphc.CheckError, match="of type list"):
        graphc.check(f, {"x": ["y"]})
    with pytest.raises(graphc.CheckError, match="finite"):
        graphc.check(f, {"x": float("nan")})
    with pytest.raises(graphc.CheckError, match="None"):
        graphc.check(f, {"x": None})
    with pytest.raises(graphc.CheckError, match="name"):
        graphc.check(f, {3: "x"})
    with pytest.raises(graphc.CheckError, match="two claims"):
        graphc.check(f, {"x": "y", x: "y"})
    z = graphc.input("z")
    with pytest.raises(graphc.CheckError, match="not below"):
        graphc.check(f, {z: "y"})
    twin = graphc.input("x") * x
    with pytest.raises(graphc.CheckError, match="means 2 nodes"):
        graphc.check(twin, {"x": "x"})


def test_single_claim_goes_with_wrt() -> None:
    assert graphc.check(x * y, "y", wrt="x", proof_seconds=0).ok
    assert graphc.check(graphc.backward(x * y), "x", wrt=y, proof_seconds=0).ok


class Circuit:
    """The part of a circuit that names are made of."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.nodes = topological([root])


def claim_on(root: Node, target: str, given: Any) -> Claim:
    names = Names(Circuit(root))  # type: ignore[arg-type]
    return read_claim(names.find(target), given, names)


def test_a_python_function_is_called_with_the_nodes_that_its_parameters_name() -> None:
    rows, weight = graphc.input("rows", ("N", 3)), graphc.parameter("weight", (3, 2))
    hidden = graphc.relu(rows @ weight).named("hidden")
    loss = graphc.sum(hidden).named("loss")
    seen: dict[str, Any] = {}

    def backward(rows: Any, hidden: Any, dhidden: Any, dout: float, scale: float = 1.0) -> Any:
        seen.update(rows=rows, hidden=hidden, dhidden=dhidden, dout=dout)
        dhidden[hidden <= 0] = 0
        return rows.T @ dhidden * dout * scale

    claim = claim_on(loss, "weight", backward)
    assert claim.expression is None
    assert claim.text == "backward(rows, hidden, dhidden, dout)"
    assert list(claim.nodes) == ["rows", "hidden"]
    assert {name: node.label for name, node in claim.upstream.items()} == {"dhidden": "hidden", "dout": "loss"}
    given = {
        "rows": np.array([[mpmath.mpf(1), mpmath.mpf(2), mpmath.mpf(3)]]),
        "hidden": np.array([[mpmath.mpf(1), mpmath.mpf(0)]]),
        "dhidden": np.ones((1, 2)),
        "dout": mpmath.mpf(1),
    }
    np.testing.assert_array_equal(claim.value(given), [[1, 0], [2, 0], [3, 0]])
    assert seen["rows"].dtype == np.float64
    assert isinstance(seen["dout"], float)
    np.testing.assert_array_equal(given["dhidden"], np.ones((1, 2)))  # the function wrote into a copy


def test_a_function_may_return_all_gradients_by_name_and_gets_labels_as_integers() -> None:
    scores, labels = graphc.input("scores", ("N", 3)), graphc.input("labels", ("N",), dtype="int32")
    loss = graphc.softmax_cross_entropy(scores, labels).named("loss")

    def backward(scores: Any, labels: Any) -> Any:
        probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        probabilities[np.arange(len(scores)), labels] -= 1
        return {"dscores": probabilities / len(scores)}

    assert graphc.check(loss, {"scores": backward}, proof_seconds=0).ok
    given = {"scores": np.zeros((1, 3)), "labels": np.array([1])}
    with pytest.raises(graphc.CheckError, match="returns gradients of y, and none of 'scores'"):
        claim_on(loss, "scores", lambda scores: {"y": scores}).value(given)
    with pytest.raises(
        graphc.CheckError, match="returns 2 values; return the gradient of 'scores', or all gradients by name"
    ):
        claim_on(loss, "scores", lambda scores: (scores, scores)).value(given)


def test_functions_that_cannot_be_called_or_fail_are_named() -> None:
    with pytest.raises(graphc.CheckError, match="parameter 'w' is neither a node nor the gradient of one.*names are x"):
        claim_on(f, "x", lambda w: w)
    with pytest.raises(graphc.CheckError, match="parameter 'dx' is neither"):
        claim_on(f, "x", lambda dx: dx)
    with pytest.raises(graphc.CheckError, match="takes 'y' by position only"):
        claim_on(f, "x", lambda y, /: y)
    assert claim_on(f, "x", lambda *_, y: y).value({"y": 2.0}) == 2.0
    with pytest.raises(graphc.CheckError, match="parameters cannot be read"):
        claim_on(f, "x", max)

    def broken(x: float) -> float:
        return [][int(x)]

    claim = claim_on(f, "x", broken)
    with pytest.raises(
        graphc.CheckError, match=r"(?s)broken failed with IndexError: list.*called with x of shape \(\)"
    ):
        claim.value({"x": 1.0}, "double")
    assert claim_on(f, "x", lambda **values: values["y"]).value({"x": 1.0, "y": 2.0, "f": 3.0}) == 2.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (sympy.Matrix([[1, 2]]), "type MutableDenseMatrix.*X.T @"),
        (sympy.MatrixSymbol("X", 2, 2), "type MatrixSymbol"),
        (sympy.Eq(sympy.Symbol("x"), 1), "type Equality"),
        ((sympy.Symbol("x"),), "type tuple"),
        (sympy.Function("g")(sympy.Symbol("x")), "not in the formula language"),
        (sympy.Symbol("w"), "there is no node 'w'"),
        (sympy.I * sympy.Symbol("x"), "not in the formula language"),
        (sympy.Integral(sympy.Symbol("x")), "not in the formula language"),
        (sympy, "of type module"),
        (sympy.Lambda(sympy.Symbol("x"), 1), "Lambda"),
        (sympy.nan, "not in the formula language"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_sympy_objects_that_are_no_claims_are_refused(given: Any, message: str) -> None:
    with pytest.raises(graphc.CheckError, match=message):
        claim_on(f, "x", given)


def test_sympy_symbols_go_by_the_names_of_the_graph_too() -> None:
    w = graphc.input("w_1")
    claim = claim_on(f * w, "x", sympy.Symbol("w1") * sympy.Symbol("y"))
    assert sorted(claim.nodes) == ["w_1", "y"]
    assert claim.value({"w_1": 2.0, "y": 3.0}, "double") == 6.0


@pytest.mark.parametrize(
    ("nodes", "text", "expected"),
    [
        ("w1 x", "w_{1}", "w1"),
        ("w1 x", "w₁", "w1"),
        ("w_1 x", "w1", "w_1"),
        ("Wxh x", r"\mathbf{W}_{xh}", "Wxh"),
        ("yhat x", r"\hat{y}", "yhat"),
        ("y_hat x", "ŷ", "y_hat"),
        ("hat_y x", r"\hat y", "hat_y"),
        ("y1_hat x", r"\hat{y}_1", "y1_hat"),
        ("c_tilde x", r"\tilde{c}", "c_tilde"),
        ("h_bar x", r"\bar h", "h_bar"),
        ("x_prime x", "x'", "x_prime"),
        ("xprime x", r"x^\prime", "xprime"),
        ("theta0 x", r"\theta_0", "theta0"),
        ("theta x", "θ", "theta"),
        ("θ x", r"\theta", "θ"),
        ("epsilon x", r"\varepsilon", "epsilon"),
        ("h_prev h", "h_{t-1}", "h_prev"),
        ("h_prev h", r"\mathbf{h}_{t-1}", "h_prev"),
        ("h_prev h", "hₜ₋₁", "h_prev"),
        ("h_prev h", "h_t", "h"),
        ("c_old c", "c_{t-1}", "c_old"),
        ("h_1 h_2", "h_{1}", "h_1"),
        ("W1 x", "W^{(1)}", "W1"),
        ("W_2 x", "W^{[2]}", "W_2"),
        ("lam x", r"\lambda", "lam"),
        ("lambda_ x", r"\lambda", "lambda_"),
        ("sigma x", r"\sigma", "sigma"),
        ("x y", r"\mathrm{x}", "x"),
        ("loss_weight x", r"\text{loss\_weight}", "loss_weight"),
    ],
)
def test_mathematical_names_are_those_of_the_graph(nodes: str, text: str, expected: str) -> None:
    first, *rest = graphc.inputs(nodes)
    root = first
    for node in rest:
        root = root * node
    assert claim_on(root.named("total"), rest[0].label, text).expression == Symbol(expected)


def test_a_name_of_a_function_is_the_node_where_no_bracket_follows() -> None:
    total = (x + y).named("tanh")
    assert claim_on(total * x, "x", "1 - tanh^2").expression == claim_on(total * x, "x", "1 - tanh**2").expression
    assert claim_on(total * x, "x", "tanh").expression == Symbol("tanh")
    assert claim_on(total * x, "x", "tanh(x)").expression == Call("tanh", (Symbol("x"),))
    deviation = (x * y).named("sigma")
    assert (
        claim_on(deviation, "x", r"\sigma (x - 1)").expression == claim_on(deviation, "x", "sigma*(x - 1)").expression
    )


def test_a_raised_t_is_a_transpose_unless_a_number_is_raised_to_a_node() -> None:
    temperature = graphc.input("T")
    assert claim_on(x * temperature, "x", "x^T").expression == Call("pow", (Symbol("x"), Symbol("T")))
    assert claim_on(x * y, "x", "x^T").expression == Symbol("x")
    matrix = graphc.input("M", (2, 3))
    assert claim_on(graphc.sum(matrix) * temperature, "M", "M^T").expression == Call("transpose", (Symbol("M"),))


@pytest.mark.parametrize(
    "left",
    ["df/dx", "∂f/∂x", "d f / d x", r"\frac{df}{dx}", r"\frac{\partial f}{\partial x}", r"\partial f/\partial x", "dx",
     r"\dfrac{\partial L}{\partial x}", r"\nabla_x f", "∇_x f", r"\nabla_{x} L", "∇x", "dL/dx", "dL_dx", "dLdx",
     "grad_x", "x.grad", "x_grad", "∂L/∂x", "∂_x f", r"\partial_x f", "f_x", "L_x", "dJ/dx", "dE/dx"],
)  # fmt: skip
def test_left_hand_sides_that_name_the_gradient_are_dropped(left: str) -> None:
    assert claim_on(f, "x", f"{left} = 2y").expression == Call("mul", (Number(2), Symbol("y")))


@pytest.mark.parametrize(
    "left", ["df/dy", "∂f/∂y", "y", "x", "dg/dx", "", "f", "2", "dx/df", "x + y", "dz", "df/d(xy)"]
)
def test_left_hand_sides_that_name_something_else_are_refused(left: str) -> None:
    with pytest.raises(graphc.CheckError, match="the claim for 'x'"):
        claim_on(f, "x", f"{left} = 2y")


def test_names_of_layers_with_dots_are_read() -> None:
    image = graphc.input("image", ("N", 4))
    scores = graphc.layers.dense(image, 2, name="scores")
    claim = claim_on(graphc.sum(scores), "scores.weight", "2 * scores.weight + scores.bias[:, None]")
    assert sorted(claim.nodes) == ["scores.bias", "scores.weight"]


def test_names_that_can_mean_two_nodes_are_refused() -> None:
    a, b = graphc.inputs("w_1 w1")
    assert claim_on(a * b, "w1", "w_1").expression == Symbol("w_1")
    with pytest.raises(graphc.CheckError, match="can mean 'w_1' and 'w1'; write the name in full"):
        claim_on(a * b, "w1", "w_{1,}")


def test_earlier_lines_of_a_derivation_are_names_too() -> None:
    names = Names(Circuit(f))  # type: ignore[arg-type]
    names.define("g", ())
    claim = read_claim(x, "g(1 - f)y", names)
    assert claim.defined == ("g",)
    assert claim.value({"g": 2.0, "f": 0.5, "y": 3.0}, "double") == 3.0
    with pytest.raises(graphc.CheckError, match="'x' is a name of the graph"):
        names.define("x", ())


def test_letters_are_a_product_only_where_each_is_a_node_and_the_whole_is_not() -> None:
    both = graphc.inputs("x y xy")
    root = both[0] * both[1] * both[2]
    assert claim_on(root, "x", "xy").expression == Symbol("xy")
    assert claim_on(root, "x", "yx").expression == Call("mul", (Symbol("y"), Symbol("x")))
    with pytest.raises(graphc.CheckError, match="no node 'xz'"):
        claim_on(root, "x", "xz")


def test_unhurried_reading_of_a_long_claim_takes_milliseconds() -> None:
    text = " + ".join(f"{k}*x*y*(1 - f**2)" for k in range(150))
    claim = claim_on(f, "x", text)
    seconds = min(_timed(text) for _ in range(3))
    assert claim.value({"x": 1.0, "y": 1.0, "f": 0.0}, "double") == sum(range(150))
    assert seconds < 1  # 0.02 s on one core: a bound against another order of growth


def _timed(text: str) -> float:
    start = time.perf_counter()
    claim_on(f, "x", text)
    return time.perf_counter() - start


def test_steps_of_a_repeat_go_by_their_number() -> None:
    first, second, gate = (graphc.input(name, (2, 3)) for name in ("h[0]", "h[1]", "f[0]"))
    weight = graphc.parameter("lstm.weight_h", (3, 3))
    loss = graphc.sum((first * gate + second) @ weight).named("L")
    for text in ("h[1]", "h_1", "h_{1}", "h₁", "h^{(1)}", "h[-1]", "dL/df[0] = h[1]", "dL/df_0 = h_1"):
        assert claim_on(loss, "f[0]", text).expression == Symbol("h[1]")
    for text in ("dh[1]", "dh_1", "dL/dh[1]", "dL/dh_1", "∂h[1]", r"\frac{\partial L}{\partial h_1}"):
        claim = claim_on(loss, "f[0]", text)
        assert claim.expression == Symbol("∂h[1]")
        assert claim.upstream["∂h[1]"].label == "h[1]"
    assert claim_on(loss, "f[0]", "f[0] * f").expression == Call("mul", (Symbol("f[0]"), Symbol("f")))
    assert claim_on(loss, "f[0]", "h[0][0, :]").expression == claim_on(loss, "f[0]", "h_0[0, :]").expression
    claim = claim_on(loss, "f[0]", lambda h_1, lstm_weight_h, df_0=None: None)
    assert {name: node.label for name, node in claim.nodes.items()} == {"h_1": "h[1]", "lstm_weight_h": "lstm.weight_h"}
    with pytest.raises(graphc.CheckError, match=r"h\[7\] is no step of 'h', whose steps are 0 to 1"):
        claim_on(loss, "f[0]", "h[7]")
    with pytest.raises(graphc.CheckError, match=r"no node 'h'.*did you mean 'h\[0\]'"):
        claim_on(loss, "f[0]", "h")
