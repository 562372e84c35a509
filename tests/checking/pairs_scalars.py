"""Labelled pairs of scalars that trip graders up: what only looks equal, and what only looks different."""

from __future__ import annotations

import graphc


def x():
    return graphc.input("x")


def hyperbolic():
    return graphc.tanh(x()).named("f")


def logistic():
    return graphc.sigmoid(x()).named("f")


def softplus():
    return graphc.log(1 + graphc.exp(x())).named("f")


def exponential():
    return graphc.exp(x() * 2).named("f")


def square_root():
    v = x()
    return graphc.sqrt(v * v + 1).named("f")


def rectifier():
    return graphc.relu(x()).named("f")


def magnitude():
    return graphc.abs(x()).named("f")


def clipped():
    return graphc.max(graphc.min(x(), 1), -1).named("f")


def reciprocal():
    return (1 / x()).named("f")


def logarithm_of_square():
    v = x()
    return graphc.log(v * v).named("f")


def difference_of_logarithms():
    a, b = graphc.inputs("a b")
    return (graphc.log(a) - graphc.log(b)).named("f")


def hinge():
    t, y = graphc.inputs("t y")
    return graphc.max(0, 1 - t * y).named("L")


def cross_entropy():
    a, t = graphc.inputs("a t")
    y = graphc.sigmoid(a).named("y")
    return (-t * graphc.log(y) - (1 - t) * graphc.log(1 - y)).named("L")


def two_layers():
    v, w1, w2, t = graphc.inputs("x w1 w2 t")
    z = graphc.tanh((w1 * v).named("a")).named("z")
    d = ((w2 * z).named("y") - t).named("d")
    return (d * d / 2).named("E")


def oscillation():
    return (graphc.sin(x()) ** 2).named("f")


def shared_use():
    v, w = graphc.inputs("x w")
    q = (v * w).named("q")
    return (q * q + q * v).named("f")


SCALARS = [
    (hyperbolic, "x", "1/cosh(x)**2", True), (hyperbolic, "x", "1 - tanh(x)**2", True),
    (hyperbolic, "x", "sech(x)**2", True), (hyperbolic, "x", "(1 - f)*(1 + f)", True),
    (hyperbolic, "x", "4/(exp(x) + exp(-x))**2", True), (hyperbolic, "x", "2/(cosh(2*x) + 1)", True),
    (hyperbolic, "x", "4*sigmoid(2*x)*(1 - sigmoid(2*x))", True), (hyperbolic, "x", "1/cosh(x)", False),
    (hyperbolic, "x", "1/sinh(x)**2", False), (hyperbolic, "x", "2*sigmoid(2*x)*(1 - sigmoid(2*x))", False),
    (hyperbolic, "x", "sech(x**2)", False), (hyperbolic, "x", "1 - x**2 + 2*x**4/3", False),
    (logistic, "x", "f*(1 - f)", True), (logistic, "x", "exp(-x)/(1 + exp(-x))**2", True),
    (logistic, "x", "1/(2 + 2*cosh(x))", True), (logistic, "x", "sigmoid(x)*sigmoid(-x)", True),
    (logistic, "x", "(1 - tanh(x/2)**2)/4", True), (logistic, "x", "f - f**2", True),
    (logistic, "x", "f*(f - 1)", False), (logistic, "x", "1 - f", False),
    (logistic, "x", "exp(-x)/(1 + exp(-x))", False), (logistic, "x", "(1 - f**2)/2", False),
    (logistic, "x", "exp(x)/(1 + exp(-x))**2", False), (logistic, "x", "0.25", False),
    (softplus, "x", "1/(1 + exp(-x))", True), (softplus, "x", "exp(x)/(1 + exp(x))", True),
    (softplus, "x", "1 - exp(-f)", True), (softplus, "x", "1/(1 + exp(x))", False),
    (softplus, "x", "Heaviside(x)", False), (softplus, "x", "1/(exp(x) + 1)*exp(x) + 1e-35", False),
    (exponential, "x", "2*f", True), (exponential, "x", "2*exp(x)**2", True), (exponential, "x", "f", False),
    (exponential, "x", "2*exp(x**2)", False), (exponential, "x", "2*x*exp(2*x - 1)", False),
    (exponential, "x", "2*cosh(2*x) + 2*sinh(2*x)", True), (square_root, "x", "x/f", True),
    (square_root, "x", "x/sqrt(x**2 + 1)", True), (square_root, "x", "sqrt(x**2)/f", False),
    (square_root, "x", "1/(2*f)", False), (square_root, "x", "x*f", False),
    (square_root, "x", "sign(x)*sqrt(1 - 1/f**2)", True), (square_root, "x", "sqrt(1 - 1/f**2)", False),
    (rectifier, "x", "Heaviside(x)", True), (rectifier, "x", "Heaviside(x, 1/2)", True),
    (rectifier, "x", "1 if x > 0 else 0", True), (rectifier, "x", "1 if x >= 0 else 0", True),
    (rectifier, "x", "(1 + sign(x))/2", True), (rectifier, "x", "where(x > 0, 1, 0)", True),
    (rectifier, "x", "f/x", True), (rectifier, "x", "Heaviside(x, 2)", False), (rectifier, "x", "1", False),
    (rectifier, "x", "sign(x)", False), (rectifier, "x", "x*(x > 0)", False),
    (rectifier, "x", "1 if x < 0 else 0", False), (rectifier, "x", "1 if x > 0.001 else 0", False),
    (rectifier, "x", "sigmoid(x)", False), (rectifier, "x", "sigmoid(1000*x)", False),
    (magnitude, "x", "sign(x)", True), (magnitude, "x", "x/abs(x)", True), (magnitude, "x", "x/sqrt(x**2)", True),
    (magnitude, "x", "2*Heaviside(x) - 1", True), (magnitude, "x", "1", False),
    (magnitude, "x", "Heaviside(x)", False), (magnitude, "x", "tanh(1000*x)", False),
    (magnitude, "x", "-sign(-x)", True), (clipped, "x", "(x > -1)*(x < 1)", True),
    (clipped, "x", "1 if abs(x) < 1 else 0", True), (clipped, "x", "1 if abs(x) <= 1 else 0", True),
    (clipped, "x", "x < 1", False), (clipped, "x", "x > -1", False), (clipped, "x", "1", False),
    (clipped, "x", "1 if abs(x) < 1.01 else 0", False), (clipped, "x", "Heaviside(1 - x**2)", True),
    (reciprocal, "x", "-1/x**2", True), (reciprocal, "x", "-f**2", True), (reciprocal, "x", "-f/x", True),
    (reciprocal, "x", "1/x**2", False), (reciprocal, "x", "-1/abs(x)**2", True), (reciprocal, "x", "log(x)", False),
    (reciprocal, "x", "-1/x", False), (logarithm_of_square, "x", "2/x", True),
    (logarithm_of_square, "x", "2*x/x**2", True), (logarithm_of_square, "x", "2/abs(x)", False),
    (logarithm_of_square, "x", "1/x**2", False), (difference_of_logarithms, "a", "1/a", True),
    (difference_of_logarithms, "b", "-1/b", True), (difference_of_logarithms, "b", "1/b", False),
    (difference_of_logarithms, "a", "1/(a - b)", False),
    (difference_of_logarithms, "a", "exp(log(b) - log(a*b))", True), (difference_of_logarithms, "a", "b/a", False),
    (difference_of_logarithms, "a", "exp(-f)/b", True), (difference_of_logarithms, "a", "log(a) - log(a - 1)", False),
    (hinge, "y", "-t*(t*y < 1)", True), (hinge, "y", "where(1 - t*y > 0, -t, 0)", True),
    (hinge, "y", "-t*(L > 0)", True), (hinge, "y", "-t", False), (hinge, "y", "t*(t*y < 1)", False),
    (hinge, "y", "-t*(t*y > 1)", False), (hinge, "y", "-t*(y < 1)", False), (hinge, "y", "-t*(t*y < 0)", False),
    (hinge, "t", "-y*Heaviside(1 - t*y)", True), (cross_entropy, "a", "y - t", True),
    (cross_entropy, "y", "(1 - t)/(1 - y) - t/y", True), (cross_entropy, "y", "(y - t)/(y*(1 - y))", True),
    (cross_entropy, "a", "t - y", False), (cross_entropy, "a", "(y - t)*y*(1 - y)", False),
    (cross_entropy, "y", "y - t", False), (cross_entropy, "y", "-t/y", False),
    (cross_entropy, "a", "-t*(1 - y)", False), (cross_entropy, "y", "(1 - t)/(1 - y) + t/y", False),
    (cross_entropy, "t", "-a", True), (cross_entropy, "t", "log(1 - y) - log(y)", True),
    (cross_entropy, "t", "-log(y)", False), (two_layers, "w2", "d*z", True),
    (two_layers, "w1", "d*w2*(1 - z**2)*x", True), (two_layers, "x", "d*w2*(1 - z**2)*w1", True),
    (two_layers, "a", "(w2*z - t)*w2/cosh(a)**2", True), (two_layers, "w1", "d*w2*x", False),
    (two_layers, "w1", "d*(1 - z**2)*x", False), (two_layers, "w1", "d*w2*(1 - a**2)*x", False),
    (two_layers, "w1", "d*w2*z*(1 - z)*x", False), (two_layers, "w2", "d*a", False), (two_layers, "t", "d", False),
    (two_layers, "t", "-d", True), (two_layers, "w1", "2*d*w2*(1 - z**2)*x", False),
    (oscillation, "x", "sin(2*x)", True), (oscillation, "x", "2*sin(x)*cos(x)", True),
    (oscillation, "x", "1 - cos(2*x)", False), (oscillation, "x", "2*sin(x)", False),
    (oscillation, "x", "2*cos(x)", False), (oscillation, "x", "sin(x)**2", False),
    (oscillation, "x", "2*sin(x)*sqrt(1 - sin(x)**2)", False), (shared_use, "x", "2*q*w + q + w*x", True),
    (shared_use, "w", "(2*q + x)*x", True), (shared_use, "q", "2*q + x", True),
    (shared_use, "x", "(2*q + x)*w", False), (shared_use, "x", "2*q*w + q", False), (shared_use, "q", "2*q", False),
    (shared_use, "w", "2*q*x", False),
]  # fmt: skip
