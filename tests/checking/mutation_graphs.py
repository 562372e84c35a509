"""Graphs of the lectures with right gradients, for mutants: circuits, nets, losses, recurrence, norms, convolution.

A gradient is text in Python notation over names of the graph and over ``let`` names; ``paths(a, b, ...)`` is a sum over
the ways in which a value is used, so that a generator knows a term that is a path from a term of a local gradient;
``joint(...)`` holds what several local gradients have become by simplification.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import graphc
from graphc.formula.expression import Call, Expression, Number, Symbol, number

CALLS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.MatMult: "matmul",
}  # fmt: skip
COMPARISONS = {ast.Eq: "equal", ast.Gt: "greater", ast.Lt: "less", ast.GtE: "greater_equal", ast.LtE: "less_equal"}


def read(text: str, lets: Mapping[str, Expression] | None = None) -> Expression:
    """The expression of a text; let names are written out."""
    return _expression(ast.parse(text.strip(), mode="eval").body, lets or {})


def _expression(node: ast.AST, lets: Mapping[str, Expression]) -> Expression:
    match node:
        case ast.Constant(value=value):
            return number(Fraction(str(value)))
        case ast.Name(id=name):
            return lets.get(name, Symbol(name))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Call("neg", (_expression(operand, lets),))
        case ast.Attribute(value=value, attr="T"):
            return Call("transpose", (_expression(value, lets),))
        case ast.BinOp(left=left, op=op, right=right):
            return Call(CALLS[type(op)], (_expression(left, lets), _expression(right, lets)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return Call(COMPARISONS[type(op)], (_expression(left, lets), _expression(right, lets)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return Call(name, tuple(_expression(a, lets) for a in arguments))
    raise ValueError(ast.dump(node))


def plain(tree: Expression) -> Expression:
    """A tree without ``paths`` and ``column``, as a claim may be."""
    if not isinstance(tree, Call):
        return tree
    operands = tuple(plain(o) for o in tree.operands)
    if tree.function == "paths":
        total = operands[0]
        for operand in operands[1:]:
            total = Call("add", (total, operand))
        return total
    if tree.function == "joint":
        return operands[0]
    if tree.function == "column":
        return Call("expand_dims", (*operands, Number(1)))
    return Call(tree.function, operands)


@dataclass
class Exercise:
    """A graph and right answers for it."""

    name: str
    build: Callable[[], graphc.Node]
    answers: Mapping[str, str]
    lets: Mapping[str, str] = field(default_factory=dict)

    @property
    def arrays(self) -> bool:
        """Whether the answers are about arrays."""
        return any(word in text for text in (*self.answers.values(), *self.lets.values()) for word in ("@", "sum("))

    def trees(self, mutated: Mapping[str, Expression] | None = None) -> dict[str, Expression]:
        """Right answers as expressions; ``mutated`` replaces lets."""
        lets: dict[str, Expression] = {}
        for name, text in self.lets.items():
            lets[name] = (mutated or {}).get(name) or read(text, lets)
        return {target: read(text, lets) for target, text in self.answers.items()}


def product():
    x, y = graphc.inputs("x y")
    return (x * y).named("f")


def lecture():
    x, y, z = graphc.inputs("x y z")
    return ((x + y).named("q") * z).named("f")


def neuron():
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    return (1 / (1 + graphc.exp(-((w0 * x0 + w1 * x1 + w2).named("s"))))).named("f")


def folded_neuron():
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    return graphc.sigmoid((w0 * x0 + w1 * x1 + w2).named("s")).named("f")


def tanh_neuron():
    w, x, b, v = graphc.inputs("w x b v")
    return (graphc.tanh((w * x + b).named("s")).named("h") * v).named("f")


def relu_neuron():
    w, x, b, v = graphc.inputs("w x b v")
    return (graphc.relu((w * x + b).named("s")).named("h") * v).named("f")


def swish():
    x, a = graphc.inputs("x a")
    return (x * graphc.sigmoid((a * x).named("u")).named("s")).named("f")


def shared():
    x, y = graphc.inputs("x y")
    return ((x * y).named("a") + graphc.exp(x).named("b") + graphc.tanh(x).named("c")).named("f")


def distance():
    x, y = graphc.inputs("x y")
    return graphc.sqrt((x * x + y * y).named("r")).named("f")


def squared():
    w, x, b, t = graphc.inputs("w x b t")
    error = ((w * x + b).named("y") - t).named("d")
    return (error * error / 2).named("f")


def two_layers():
    w1, x, b1, w2, b2, t = graphc.inputs("w1 x b1 w2 b2 t")
    h = graphc.tanh((w1 * x + b1).named("s")).named("h")
    error = ((w2 * h + b2).named("y") - t).named("d")
    return (error * error / 2).named("f")


def two_sigmoid_layers():
    w1, x, w2, t = graphc.inputs("w1 x w2 t")
    z = graphc.sigmoid((w1 * x).named("a")).named("z")
    y = graphc.sigmoid((w2 * z).named("b")).named("y")
    error = (y - t).named("d")
    return (error * error / 2).named("f")


def recurrence():
    w, u, h0, x1, x2, x3, t = graphc.inputs("w u h0 x1 x2 x3 t")
    h = h0
    for k, x in enumerate((x1, x2, x3), 1):
        h = graphc.tanh((w * h + u * x).named(f"s{k}")).named(f"h{k}")
    error = (h - t).named("d")
    return (error * error / 2).named("f")


def long_short_term_memory():
    wi, ui, wf, uf, wo, uo, wg, ug, x, h, c0 = graphc.inputs("wi ui wf uf wo uo wg ug x h c0")
    i = graphc.sigmoid((wi * x + ui * h).named("ai")).named("i")
    forget = graphc.sigmoid((wf * x + uf * h).named("af")).named("fg")
    o = graphc.sigmoid((wo * x + uo * h).named("ao")).named("o")
    g = graphc.tanh((wg * x + ug * h).named("ag")).named("g")
    c = (forget * c0 + i * g).named("c")
    return (o * graphc.tanh(c).named("tc")).named("hn")


def gated_recurrent_unit():
    wz, uz, wr, ur, wn, un, x, h = graphc.inputs("wz uz wr ur wn un x h")
    z = graphc.sigmoid((wz * x + uz * h).named("az")).named("z")
    r = graphc.sigmoid((wr * x + ur * h).named("ar")).named("r")
    n = graphc.tanh((wn * x + un * (r * h).named("rh")).named("an")).named("n")
    return ((1 - z) * h + z * n).named("f")


def logistic_loss():
    w, x, b, t = graphc.inputs("w x b t")
    p = graphc.sigmoid((w * x + b).named("s")).named("p")
    return (-(t * graphc.log(p).named("lp") + (1 - t) * graphc.log((1 - p).named("q")).named("lq"))).named("f")


def normalised():
    x, y, g = graphc.inputs("x y g")
    return (g * (x / graphc.sqrt((x * x + y * y + 0.001).named("v")).named("r")).named("n")).named("f")


def gaussian():
    x, m, s = graphc.inputs("x m s")
    z = ((x - m).named("d") / s).named("z")
    return graphc.exp(-(z * z) / 2).named("f")


def quotient():
    x, y, z = graphc.inputs("x y z")
    return ((x * y).named("a") / (y + z).named("b")).named("f")


def larger():
    x, y, z, w = graphc.inputs("x y z w")
    return (graphc.max((x * y).named("p"), z).named("m") * w).named("f")


def residual():
    x, u, w = graphc.inputs("x u w")
    h = graphc.tanh((x * u).named("s")).named("h")
    return graphc.exp((x + w * h).named("y")).named("f")


def ridge():
    w, x, t, lam = graphc.inputs("w x t lam")
    error = ((w * x).named("y") - t).named("d")
    return (error * error / 2 + lam * (w * w)).named("f")


def softplus_chain():
    w, x, v = graphc.inputs("w x v")
    p = graphc.softplus((w * x).named("s")).named("p")
    return graphc.log((1 + v * v * p).named("k")).named("f")


def linear_regression():
    x = graphc.input("X", (4, 3))
    w, b, t = graphc.input("W", (3, 2)), graphc.input("b", (2,)), graphc.input("T", (4, 2))
    d = ((x @ w + b).named("Y") - t).named("D")
    return (graphc.sum(d * d) / 8).named("L")


def two_layer_net():
    x, t = graphc.input("X", (4, 3)), graphc.input("T", (4, 2))
    w1, b1 = graphc.input("W1", (3, 3)), graphc.input("b1", (3,))
    w2, b2 = graphc.input("W2", (3, 2)), graphc.input("b2", (2,))
    h = graphc.tanh((x @ w1 + b1).named("S")).named("H")
    d = ((h @ w2 + b2).named("Y") - t).named("D")
    return (graphc.sum(d * d) / 2).named("L")


def classifier():
    x, label = graphc.input("X", (4, 3)), graphc.input("label", (4,), dtype="int32")
    w, b = graphc.input("W", (3, 3)), graphc.input("b", (3,))
    return graphc.softmax_cross_entropy((x @ w + b).named("Z"), label).named("L")


def relu_classifier():
    x, label = graphc.input("X", (4, 3)), graphc.input("label", (4,), dtype="int32")
    w1, b1, w2 = graphc.input("W1", (3, 5)), graphc.input("b1", (5,)), graphc.input("W2", (5, 3))
    h = graphc.relu((x @ w1 + b1).named("S")).named("H")
    return graphc.softmax_cross_entropy((h @ w2).named("Z"), label).named("L")


def recurrent_net():
    w, u, h0 = graphc.input("W", (3, 3)), graphc.input("U", (2, 3)), graphc.input("h0", (4, 3))
    r = graphc.input("R", (4, 3))
    h = h0
    for k in (1, 2, 3):
        h = graphc.tanh((h @ w + graphc.input(f"x{k}", (4, 2)) @ u).named(f"s{k}")).named(f"h{k}")
    return graphc.sum(h * r).named("L")


def memory_cell():
    x, h, c0, r = (graphc.input(name, (4, 3)) for name in ("x", "h", "c0", "R"))
    gates = {}
    for name, function in (("i", graphc.sigmoid), ("fg", graphc.sigmoid), ("o", graphc.sigmoid), ("g", graphc.tanh)):
        w, u = graphc.input(f"W{name}", (3, 3)), graphc.input(f"U{name}", (3, 3))
        b = graphc.input(f"b{name}", (3,))
        gates[name] = function((x @ w + h @ u + b).named(f"a{name}")).named(name)
    c = (gates["fg"] * c0 + gates["i"] * gates["g"]).named("c")
    return graphc.sum(r * (gates["o"] * graphc.tanh(c).named("tc")).named("hn")).named("L")


def batch_norm():
    x, r = graphc.input("x", (4, 3)), graphc.input("R", (4, 3))
    gain, shift = graphc.input("gain", (3,)), graphc.input("shift", (3,))
    d = (x - graphc.mean(x, 0).named("mu")).named("xc")
    deviation = graphc.sqrt((graphc.mean(d * d, 0).named("v") + 0.001).named("ve")).named("sd")
    y = (gain * (d / deviation).named("xh") + shift).named("y")
    return graphc.sum(y * r).named("L")


def layer_norm():
    x, r, gain = graphc.input("x", (4, 3)), graphc.input("R", (4, 3)), graphc.input("gain", (3,))
    d = (x - graphc.mean(x, 1, keepdims=True).named("mu")).named("xc")
    deviation = graphc.sqrt((graphc.mean(d * d, 1, keepdims=True).named("v") + 0.001).named("ve")).named("sd")
    return graphc.sum(gain * (d / deviation).named("xh") * r).named("L")


def convolution():
    x, w, r = graphc.input("x", (1, 1, 5, 5)), graphc.input("w", (1, 1, 3, 3)), graphc.input("R", (1, 1, 3, 3))
    h = graphc.relu(graphc.conv2d(x, w).named("s")).named("h")
    return graphc.sum(h * r).named("L")


def signal_convolution():
    x, w, r = graphc.input("x", (1, 1, 6)), graphc.input("w", (1, 1, 3)), graphc.input("R", (1, 1, 4))
    return graphc.sum(graphc.tanh(graphc.conv1d(x, w).named("s")).named("h") * r).named("L")


def attention():
    q, k, v, r = (graphc.input(name, (3, 3)) for name in ("Q", "K", "V", "R"))
    a = graphc.softmax((q @ k.T).named("S")).named("A")
    return graphc.sum((a @ v).named("O") * r).named("L")


def global_maximum():
    x, w, r = graphc.input("X", (4, 3)), graphc.input("W", (3, 3)), graphc.input("R", (4,))
    return graphc.sum(graphc.amax((x @ w).named("S"), 1).named("m") * r).named("L")


def mean_tanh():
    x, w = graphc.input("X", (4, 3)), graphc.input("w", (3,))
    return graphc.mean(graphc.tanh((x * w).named("s")).named("h") ** 2).named("L")


EXERCISES = [
    Exercise("product", product, {"x": "y", "y": "x"}),
    Exercise("lecture", lecture, {"x": "z", "y": "z", "z": "q", "q": "z"}),
    Exercise("neuron", neuron, {
        "w0": "f*(1 - f)*x0", "x0": "f*(1 - f)*w0", "w1": "x1*f*(1 - f)", "w2": "f*(1 - f)",
    }),
    Exercise("folded neuron", folded_neuron, {
        "w0": "f*(1 - f)*x0", "x1": "w1*f*(1 - f)", "s": "f*(1 - f)",
    }),
    Exercise("tanh neuron", tanh_neuron, {
        "w": "v*(1 - h**2)*x", "x": "v*(1 - h**2)*w", "b": "v*(1 - h**2)", "v": "h", "s": "v*(1 - h**2)",
    }),
    Exercise("relu neuron", relu_neuron, {"w": "v*(s > 0)*x", "x": "v*(s > 0)*w", "b": "v*(s > 0)", "v": "h"}),
    Exercise("swish", swish, {"x": "paths(s, x*s*(1 - s)*a)", "a": "x*s*(1 - s)*x", "u": "x*s*(1 - s)"}),
    Exercise("shared", shared, {"x": "paths(y, b, 1 - c**2)", "y": "x"}),
    Exercise("distance", distance, {"x": "x/f", "y": "y/f", "r": "1/(2*f)"}),
    Exercise("squared error", squared, {"w": "d*x", "x": "d*w", "b": "d", "y": "d", "t": "-d"}),
    Exercise("two layers", two_layers, {
        "w1": "delta*x", "x": "delta*w1", "b1": "delta", "w2": "d*h", "b2": "d", "h": "d*w2",
    }, {"delta": "d*w2*(1 - h**2)"}),
    Exercise("two sigmoid layers", two_sigmoid_layers, {
        "w1": "d*y*(1 - y)*w2*z*(1 - z)*x", "x": "d*y*(1 - y)*w2*z*(1 - z)*w1", "w2": "d*y*(1 - y)*z",
        "z": "d*y*(1 - y)*w2",
    }),
    Exercise("recurrence", recurrence, {
        "w": "paths(d3*h2, d2*h1, d1*h0)", "u": "paths(d3*x3, d2*x2, d1*x1)", "h0": "d1*w", "h1": "d2*w", "x1": "d1*u",
    }, {"d3": "d*(1 - h3**2)", "d2": "d3*w*(1 - h2**2)", "d1": "d2*w*(1 - h1**2)"}),
    Exercise("memory cell of scalars", long_short_term_memory, {
        "wf": "dc*c0*fg*(1 - fg)*x", "ui": "dc*g*i*(1 - i)*h", "wg": "dc*i*(1 - g**2)*x", "uo": "tc*o*(1 - o)*h",
        "c0": "dc*fg", "ao": "tc*o*(1 - o)",
        "x": "paths(tc*o*(1 - o)*wo, dc*c0*fg*(1 - fg)*wf, dc*g*i*(1 - i)*wi, dc*i*(1 - g**2)*wg)",
    }, {"dc": "o*(1 - tc**2)"}),
    Exercise("gated unit of scalars", gated_recurrent_unit, {
        "wz": "paths(n, -h)*z*(1 - z)*x", "un": "z*(1 - n**2)*rh", "wr": "z*(1 - n**2)*un*h*r*(1 - r)*x",
        "h": "paths(1 - z, paths(n, -h)*z*(1 - z)*uz, z*(1 - n**2)*un*r, z*(1 - n**2)*un*h*r*(1 - r)*ur)",
    }),
    Exercise("logistic loss", logistic_loss, {
        "w": "joint(p - t)*x", "b": "joint(p - t)", "x": "joint(p - t)*w",
        "p": "paths((1 - t)/q, -t/p)", "t": "paths(lq, -lp)",
    }),
    Exercise("normalised", normalised, {
        "x": "g*paths(1/r, -x*x/r**3)", "y": "-g*x*y/r**3", "g": "n", "v": "-g*x/(2*r**3)",
    }),
    Exercise("gaussian", gaussian, {"x": "-f*z/s", "m": "f*z/s", "s": "f*z*z/s", "z": "-f*z"}),
    Exercise("quotient", quotient, {"x": "y/b", "y": "paths(x/b, -a/b**2)", "z": "-a/b**2", "a": "1/b"}),
    Exercise("larger", larger, {"x": "w*(p > z)*y", "y": "w*(p > z)*x", "z": "w*(p < z)", "w": "m"}),
    Exercise("residual", residual, {"x": "f*paths(1, w*(1 - h**2)*u)", "u": "f*w*(1 - h**2)*x", "w": "f*h"}),
    Exercise("ridge", ridge, {"w": "paths(d*x, 2*lam*w)", "x": "d*w", "lam": "w**2", "t": "-d"}),
    Exercise("softplus chain", softplus_chain, {
        "w": "v**2*sigmoid(s)*x/k", "x": "v**2*sigmoid(s)*w/k", "v": "2*v*p/k", "p": "v**2/k",
    }),
    Exercise("linear regression", linear_regression, {
        "W": "X.T @ D/4", "b": "sum(D, 0)/4", "X": "D @ W.T/4", "Y": "D/4",
    }),
    Exercise("two layer net", two_layer_net, {
        "W1": "X.T @ delta", "b1": "sum(delta, 0)", "X": "delta @ W1.T", "W2": "H.T @ D", "b2": "sum(D, 0)",
        "H": "D @ W2.T",
    }, {"delta": "(D @ W2.T)*(1 - H**2)"}),
    Exercise("classifier", classifier, {
        "W": "X.T @ dz", "b": "sum(dz, 0)", "X": "dz @ W.T", "Z": "dz",
    }, {"dz": "(softmax(Z) - one_hot(label, Z))/4"}),
    Exercise("relu classifier", relu_classifier, {
        "W1": "X.T @ ds", "b1": "sum(ds, 0)", "W2": "H.T @ dz", "H": "dz @ W2.T", "X": "ds @ W1.T",
    }, {"dz": "(softmax(Z) - one_hot(label, Z))/4", "ds": "(dz @ W2.T)*(S > 0)"}),
    Exercise("recurrent net", recurrent_net, {
        "W": "paths(h2.T @ d3, h1.T @ d2, h0.T @ d1)", "U": "paths(x3.T @ d3, x2.T @ d2, x1.T @ d1)",
        "h0": "d1 @ W.T", "h1": "d2 @ W.T",
    }, {"d3": "R*(1 - h3**2)", "d2": "(d3 @ W.T)*(1 - h2**2)", "d1": "(d2 @ W.T)*(1 - h1**2)"}),
    Exercise("memory cell", memory_cell, {
        "Wfg": "x.T @ (dc*c0*fg*(1 - fg))", "Ui": "h.T @ (dc*g*i*(1 - i))", "bg": "sum(dc*i*(1 - g**2), 0)",
        "c0": "dc*fg", "Uo": "h.T @ (R*tc*o*(1 - o))", "ag": "dc*i*(1 - g**2)",
        "h": "paths((R*tc*o*(1 - o)) @ Uo.T, (dc*c0*fg*(1 - fg)) @ Ufg.T, (dc*g*i*(1 - i)) @ Ui.T, "
             "(dc*i*(1 - g**2)) @ Ug.T)",
    }, {"dc": "R*o*(1 - tc**2)"}),
    Exercise("batch norm", batch_norm, {
        "x": "paths(dh, -mean(dh, 0), -xh*mean(dh*xh, 0))/sd", "gain": "sum(R*xh, 0)", "shift": "sum(R, 0)",
        "v": "-sum(dh*xc, 0)/(2*sd**3)", "xc": "paths(dh, -xh*mean(dh*xh, 0))/sd", "xh": "dh",
    }, {"dh": "R*gain"}),
    Exercise("layer norm", layer_norm, {
        "x": "paths(dh, -column(mean(dh, 1)), -xh*column(mean(dh*xh, 1)))/sd",
        "gain": "sum(R*xh, 0)", "xh": "dh",
    }, {"dh": "R*gain"}),
    Exercise("convolution", convolution, {
        "w": "correlate(x, d, 0)", "x": "convolve(d, w, 1)", "s": "d",
    }, {"d": "R*(s > 0)"}),
    Exercise("signal convolution", signal_convolution, {
        "w": "correlate(x, d, 0)", "x": "convolve(d, w, 1)", "s": "d",
    }, {"d": "R*(1 - h**2)"}),
    Exercise("attention", attention, {
        "V": "A.T @ R", "A": "R @ V.T", "S": "ds", "Q": "ds @ K", "K": "ds.T @ Q",
    }, {"g": "R @ V.T", "ds": "A*(g - column(sum(g*A, 1)))"}),
    Exercise("largest", global_maximum, {"m": "R", "S": "column(R)*(S == column(m))", "R": "m"}),
    Exercise("mean of squares", mean_tanh, {"w": "sum(2*h*(1 - h**2)*X, 0)/12", "X": "h*(1 - h**2)*w/6", "h": "h/6"}),
]  # fmt: skip
