"""Labelled pairs of recurrent and convolutional graphs and of pooling: the claim and whether it is right."""

from __future__ import annotations

import numpy

import graphc

# ---- recurrence by hand --------------------------------------------------------------------------------


def three_steps():
    w, u, x1, x2, x3 = graphc.inputs("w u x1 x2 x3")
    h1 = graphc.tanh((u * x1).named("s1")).named("h1")
    h2 = graphc.tanh((w * h1 + u * x2).named("s2")).named("h2")
    return graphc.tanh((w * h2 + u * x3).named("s3")).named("h3")


def steps_of_vectors():
    w, u = graphc.parameter("W", (2, 2)), graphc.parameter("U", (2, 3))
    x1, x2, h0 = graphc.input("x1", ("N", 3)), graphc.input("x2", ("N", 3)), graphc.input("h0", ("N", 2))
    h1 = graphc.tanh((h0 @ w.T + x1 @ u.T).named("s1")).named("h1")
    h2 = graphc.tanh((h1 @ w.T + x2 @ u.T).named("s2")).named("h2")
    return graphc.sum(h2 * graphc.input("G", ("N", 2))).named("L")


def unrolled():
    w, u, h0 = graphc.parameter("W", (2, 2)), graphc.parameter("U", (2, 3)), graphc.input("h0", ("N", 2))

    def cell(x, h):
        new = graphc.tanh((h @ w.T + x @ u.T).named("s")).named("h")
        return new, new

    _, last = graphc.unroll(cell, graphc.input("x", (3, "N", 3)), h0)
    return graphc.sum(last * graphc.input("G", ("N", 2))).named("L")


_D3, _D2, _D1 = "(1 - h3**2)", "(1 - h3**2)*w*(1 - h2**2)", "(1 - h3**2)*w*(1 - h2**2)*w*(1 - h1**2)"
_E2 = "(G * (1 - h2**2))"
_E1 = f"(({_E2} @ W) * (1 - h1**2))"


def through_time(x, h0, W, U, G):
    states = [h0]
    for step in x:
        states.append(numpy.tanh(states[-1] @ W.T + step @ U.T))
    gradient, flow = numpy.zeros_like(W), G
    for t in range(len(x), 0, -1):
        local = flow * (1 - states[t] ** 2)
        gradient += local.T @ states[t - 1]
        flow = local @ W
    return gradient


def only_last_step(x, h0, W, U, G):
    states = [h0]
    for step in x:
        states.append(numpy.tanh(states[-1] @ W.T + step @ U.T))
    return (G * (1 - states[-1] ** 2)).T @ states[-2]


def same_states(x, h0, W, U, G):
    states = [h0]
    for step in x:
        states.append(numpy.tanh(states[-1] @ W.T + step @ U.T))
    gradient, flow = numpy.zeros_like(W), G
    for t in range(len(x), 0, -1):
        local = flow * (1 - states[t] ** 2)
        gradient += local.T @ states[t]  # h_t for h_{t-1}
        flow = local @ W
    return gradient


RECURRENT = [
    (three_steps, "w", f"{_D3}*h2 + {_D2}*h1", True), (three_steps, "u", f"{_D3}*x3 + {_D2}*x2 + {_D1}*x1", True),
    (three_steps, "x1", f"{_D1}*u", True), (three_steps, "h1", f"{_D2}*w", True), (three_steps, "s1", _D1, True),
    (three_steps, "w", f"{_D3}*h2", False), (three_steps, "w", f"{_D2}*h1", False),
    (three_steps, "w", f"{_D3}*h3 + {_D2}*h2", False), (three_steps, "u", f"{_D3}*x3 + {_D2}*x2", False),
    (three_steps, "u", f"{_D3}*(x1 + x2 + x3)", False), (three_steps, "w", f"{_D3}*(h2 + h1)", False),
    (three_steps, "x1", f"{_D2}*u", False), (three_steps, "h1", "(1 - h3**2)*w*(1 - h2**2)", False),
    (three_steps, "h1", f"{_D2}*w*(1 - h1**2)", False), (three_steps, "w", f"-({_D3}*h2 + {_D2}*h1)", False),
    (three_steps, "w", "(1 - s3**2)*h2 + (1 - s3**2)*w*(1 - s2**2)*h1", False),
    (steps_of_vectors, "W", f"{_E2}.T @ h1 + {_E1}.T @ h0", True),
    (steps_of_vectors, "U", f"{_E2}.T @ x2 + {_E1}.T @ x1", True), (steps_of_vectors, "h0", f"{_E1} @ W", True),
    (steps_of_vectors, "h1", f"{_E2} @ W", True), (steps_of_vectors, "x1", f"{_E1} @ U", True),
    (steps_of_vectors, "s1", "dh1 * (1 - h1**2)", True), (steps_of_vectors, "W", f"{_E2}.T @ h1", False),
    (steps_of_vectors, "W", f"{_E2}.T @ h2 + {_E1}.T @ h1", False),
    (steps_of_vectors, "W", f"h1.T @ {_E2} + h0.T @ {_E1}", False), (steps_of_vectors, "h0", f"{_E1} @ W.T", False),
    (steps_of_vectors, "U", f"{_E2}.T @ x2", False), (steps_of_vectors, "h1", f"{_E2} @ W.T", False),
    (steps_of_vectors, "U", f"({_E2}.T @ x2 + {_E1}.T @ x1) / 2", False),
    (steps_of_vectors, "h0", f"{_E2} @ W @ W", False), (unrolled, "W", through_time, True),
    (unrolled, "W", only_last_step, False), (unrolled, "W", same_states, False),
    (unrolled, "h[1]", "(G * (1 - h[2]**2)) @ W", True), (unrolled, "h[2]", "G", True),
    (unrolled, "s[2]", "G * (1 - h[2]**2)", True), (unrolled, "h[1]", "(G * (1 - h[2]**2)) @ W.T", False),
    (unrolled, "h[1]", "G * (1 - h[2]**2)", False), (unrolled, "h[0]", "(dh[1] * (1 - h[1]**2)) @ W", True),
    (unrolled, "h0", "ds[0] @ W", True),
]  # fmt: skip


# ---- cells ---------------------------------------------------------------------------------------------


def memory_cell():
    x, h, c = graphc.input("x", ("N", 3)), graphc.input("h0", ("N", 2)), graphc.input("c0", ("N", 2))
    wx, wh, b = memory_weights()
    new, memory = graphc.lstm_cell(x, h, c, wx, wh, b)
    new.named("h1"), memory.named("c1")
    return graphc.sum(new * graphc.input("G", ("N", 2))).named("L")


def scalar_memory():
    i, f, o, g, c = graphc.inputs("ai af ao ag c0")
    c1 = (graphc.sigmoid(f).named("f") * c + graphc.sigmoid(i).named("i") * graphc.tanh(g).named("g")).named("c1")
    return (graphc.sigmoid(o).named("o") * graphc.tanh(c1).named("m")).named("h1")


def two_memories():
    f1, f2, c0, u1, u2, o = graphc.inputs("f1 f2 c0 u1 u2 o")
    c1 = (f1 * c0 + u1).named("c1")
    c2 = (f2 * c1 + u2).named("c2")
    return (o * graphc.tanh(c2).named("m") + o * graphc.tanh(c1).named("m1")).named("L")


def gated_unit():
    az, ar, u, w, x, h = graphc.inputs("az ar u w x h0")
    z, r = graphc.sigmoid(az).named("z"), graphc.sigmoid(ar).named("r")
    n = graphc.tanh((w * x + u * (r * h).named("q")).named("s")).named("n")
    return ((1 - z) * h + z * n).named("h1")


def lstm_layer():
    xs, start, (wx, wh, b) = graphc.input("xs", (3, 3, 3)), graphc.constant(numpy.zeros((3, 2))), memory_weights()

    def cell(x, state):
        h, c = graphc.lstm_cell(x, *state, wx, wh, b)
        return h, (h, c)

    hs, _ = graphc.unroll(cell, xs, (start, start))
    return graphc.sum(hs[2] * graphc.input("G", (3, 2))).named("L")


def memory_weights():
    return graphc.parameter("Wx", (8, 3)), graphc.parameter("Wh", (8, 2)), graphc.parameter("b", (8,))


def gru_layer():
    hs = graphc.layers.gru(graphc.input("xs", (2, "N", 3)), 2, name="gru")
    return graphc.sum(hs[1] * graphc.input("G", ("N", 2))).named("L")


def _sigmoid(v):
    return 1 / (1 + numpy.exp(-v))


def _lstm_steps(xs, weight_x, weight_h, bias, upstream, *, forget=True, memory_path=True):
    """Gradient of the recurrent weights of an LSTM, gates in the order i, f, g, o."""
    size = weight_h.shape[1]
    h, c, steps = numpy.zeros((xs.shape[1], size)), numpy.zeros((xs.shape[1], size)), []
    for x in xs:
        i, f, g, o = numpy.split(x @ weight_x.T + h @ weight_h.T + bias, 4, axis=1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), numpy.tanh(g), _sigmoid(o)
        after = f * c + i * g
        steps.append((h, c, i, f, g, o, after))
        h, c = o * numpy.tanh(after), after
    gradient, dh, dc = numpy.zeros_like(weight_h), upstream, numpy.zeros_like(upstream)
    for before, c, i, f, g, o, after in reversed(steps):
        m = numpy.tanh(after)
        dc = dc + dh * o * (1 - m**2)
        local = numpy.concatenate(
            (dc * g * i * (1 - i), dc * c * f * (1 - f) * forget, dc * i * (1 - g**2), dh * m * o * (1 - o)), axis=1
        )
        gradient += local.T @ before
        dh, dc = local @ weight_h, dc * f * memory_path
    return gradient


def _lstm(**options):
    def claim(xs, Wx, Wh, b, G):
        return _lstm_steps(xs, Wx, Wh, b, G, **options)

    return claim


_DC = "(G * o * (1 - tanh(c1)**2))"
_PARTS = (f"{_DC}*g*i*(1-i)", f"{_DC}*c0*f*(1-f)", f"{_DC}*i*(1-g**2)", "G*tanh(c1)*o*(1-o)")
_GATES = f"concatenate(({', '.join(_PARTS)}), axis=1)"
_SWAPPED = f"concatenate(({', '.join((_PARTS[1], _PARTS[0], *_PARTS[2:]))}), axis=1)"
_LINEAR = _GATES.replace("(1-g**2)", "(1-g)")

CELLS = [
    (memory_cell, "c0", f"{_DC} * f", True), (memory_cell, "o", "G * tanh(c1)", True),
    (memory_cell, "i", f"{_DC} * g", True), (memory_cell, "f", f"{_DC} * c0", True),
    (memory_cell, "g", f"{_DC} * i", True), (memory_cell, "c1", _DC, True),
    (memory_cell, "b", f"sum({_GATES}, axis=0)", True), (memory_cell, "Wh", f"{_GATES}.T @ h0", True),
    (memory_cell, "h0", f"{_GATES} @ Wh", True), (memory_cell, "c0", _DC, False),
    (memory_cell, "c0", "G * o * f", False), (memory_cell, "c0", "G * (1 - tanh(c1)**2) * f", False),
    (memory_cell, "c0", "G * o * (1 - c1**2) * f", False), (memory_cell, "o", "G * c1", False),
    (memory_cell, "i", f"{_DC} * f", False), (memory_cell, "f", f"{_DC} * c1", False),
    (memory_cell, "g", f"{_DC} * i * (1 - g**2)", False), (memory_cell, "c1", "G * o", False),
    (memory_cell, "b", f"{_GATES}", False), (memory_cell, "b", f"sum({_LINEAR}, axis=0)", False),
    (memory_cell, "Wh", f"{_GATES}.T @ h1", False), (memory_cell, "Wh", f"{_SWAPPED}.T @ h0", False),
    (scalar_memory, "ai", "o*(1 - m**2)*g*i*(1 - i)", True), (scalar_memory, "af", "o*(1 - m**2)*c0*f*(1 - f)", True),
    (scalar_memory, "ao", "m*o*(1 - o)", True), (scalar_memory, "ag", "o*(1 - m**2)*i*(1 - g**2)", True),
    (scalar_memory, "c0", "o*(1 - m**2)*f", True), (scalar_memory, "ao", "h1*(1 - o)", True),
    (scalar_memory, "ai", "o*(1 - m**2)*g*i", False), (scalar_memory, "af", "o*(1 - m**2)*c1*f*(1 - f)", False),
    (scalar_memory, "ag", "o*(1 - m**2)*i*(1 - g)", False), (scalar_memory, "ag", "o*i*(1 - g**2)", False),
    (scalar_memory, "c0", "o*f", False), (scalar_memory, "c0", "o*(1 - c1**2)*f", False),
    (scalar_memory, "ao", "o*(1 - o)", False), (scalar_memory, "ai", "o*(1 - m**2)*g*i*(1 + i)", False),
    (two_memories, "c0", "o*(1 - m**2)*f2*f1 + o*(1 - m1**2)*f1", True),
    (two_memories, "c0", "o*(1 - m**2)*f2*f1", False),
    (two_memories, "f1", "(o*(1 - m**2)*f2 + o*(1 - m1**2))*c0", True), (two_memories, "f2", "o*(1 - m**2)*c1", True),
    (two_memories, "f2", "o*(1 - m**2)*c0", False), (two_memories, "o", "m + m1", True),
    (two_memories, "o", "m", False), (two_memories, "f1", "o*(1 - m**2)*c0", False),
    (gated_unit, "az", "(n - h0)*z*(1 - z)", True), (gated_unit, "ar", "z*(1 - n**2)*u*h0*r*(1 - r)", True),
    (gated_unit, "h0", "1 - z + z*(1 - n**2)*u*r", True), (gated_unit, "u", "z*(1 - n**2)*r*h0", True),
    (gated_unit, "w", "z*(1 - n**2)*x", True), (gated_unit, "az", "(h0 - n)*z*(1 - z)", False),
    (gated_unit, "h0", "1 - z", False), (gated_unit, "h0", "z*(1 - n**2)*u*r", False),
    (gated_unit, "u", "z*(1 - n**2)*h0", False), (gated_unit, "ar", "z*(1 - n**2)*u*h0", False),
    (gated_unit, "h0", "1 - z + z*(1 - n**2)*u", False), (gated_unit, "az", "n*z*(1 - z)", False),
    (gated_unit, "w", "(1 - z)*(1 - n**2)*x", False), (lstm_layer, "Wh", _lstm(), True),
    (lstm_layer, "Wh", _lstm(forget=False), False), (lstm_layer, "Wh", _lstm(memory_path=False), False),
    (lstm_layer, "Wx", lambda xs: 0 * xs, False), (gru_layer, "gru.bias", "0", False),
    (gru_layer, "xs", "ones_like(xs)", False), (lstm_layer, "xs", "zeros_like(xs)", False),
]  # fmt: skip


# ---- convolution and pooling ---------------------------------------------------------------------------


def convolution():
    x, k, g = graphc.input("x", (1, 1, 4, 4)), graphc.parameter("k", (1, 1, 2, 2)), graphc.input("G", (1, 1, 3, 3))
    return graphc.sum(graphc.conv2d(x, k).named("y") * g).named("L")


def convolution_of_maps():
    x, k, g = graphc.input("x", ("N", 2, 4, 3)), graphc.parameter("k", (3, 2, 2, 2)), graphc.input("G", ("N", 3, 3, 2))
    return graphc.sum(graphc.conv2d(x, k) * g).named("L")


def padded():
    x, k, g = graphc.input("x", ("N", 1, 4)), graphc.parameter("k", (2, 1, 3)), graphc.input("G", ("N", 2, 2))
    return graphc.sum(graphc.conv1d(x, k, padding=1, stride=2) * g).named("L")


def biased():
    x, b, g = graphc.input("x", ("N", 2, 3, 3)), graphc.parameter("b", (2, 1, 1)), graphc.input("G", ("N", 2, 3, 3))
    return graphc.sum(graphc.relu((x + b).named("a")) * g).named("L")


def average_pool():
    x, g = graphc.input("x", ("N", 1, 4, 4)), graphc.input("G", ("N", 1, 2, 2))
    return graphc.sum(graphc.average_pool2d(x, 2).named("y") * g).named("L")


def max_pool():
    x, g = graphc.input("x", ("N", 1, 4, 4)), graphc.input("G", ("N", 1, 2, 2))
    return graphc.sum(graphc.max_pool2d(x, 2).named("y") * g).named("L")


def sliding_max_pool():
    x, g = graphc.input("x", (1, 1, 5)), graphc.input("G", (1, 1, 3))
    return graphc.sum(graphc.max_pool1d(x, 3, stride=1).named("y") * g).named("L")


def global_average():
    x, g = graphc.input("x", ("N", 2, 3, 4)), graphc.input("G", ("N", 2))
    return graphc.sum(graphc.global_average_pool2d(x) * g).named("L")


def whole_maximum():
    return (graphc.amax(graphc.input("x", (5,))).named("y") ** 2).named("L")


def pooled_rectifier():
    x, g = graphc.input("x", ("N", 1, 4, 4)), graphc.input("G", ("N", 1, 2, 2))
    return graphc.sum(graphc.max_pool2d(graphc.relu(x).named("h"), 2).named("y") * g).named("L")


def over_maps(x, G, k, *, flipped=False, overlap=True):
    rows, columns = k.shape[2:]
    gradient = numpy.zeros_like(x)
    for i in range(G.shape[2]):
        for j in range(G.shape[3]):
            window = numpy.einsum("nk,kcrs->ncrs", G[:, :, i, j], k[:, :, ::-1, ::-1] if flipped else k)
            if overlap:
                gradient[:, :, i : i + rows, j : j + columns] += window
            else:
                gradient[:, :, i : i + rows, j : j + columns] = window
    return gradient


def of_filters(x, G):
    gradient = numpy.zeros((3, 2, 2, 2))
    for r in range(2):
        for s in range(2):
            gradient[:, :, r, s] = numpy.einsum("nkij,ncij->kc", G, x[:, :, r : r + 3, s : s + 2])
    return gradient


def strided(x, G):
    wide = numpy.pad(x, ((0, 0), (0, 0), (1, 1)))
    return numpy.stack([numpy.einsum("nki,nci->kc", G, wide[:, :, r : r + 3 : 2]) for r in range(3)], axis=2)


def not_strided(x, G):
    wide = numpy.pad(x, ((0, 0), (0, 0), (1, 1)))
    return numpy.stack([numpy.einsum("nki,nci->kc", G, wide[:, :, r : r + 2]) for r in range(3)], axis=2)


def _spread(small):
    return small.repeat(2, axis=2).repeat(2, axis=3)


def _spread_upstream(G):
    return _spread(G)


def winners(x, y, G):
    return (x == _spread(y)) * _spread(G)


def sliding_winners(x, G):
    gradient = numpy.zeros_like(x)
    for i in range(3):
        gradient[0, 0, i + numpy.argmax(x[0, 0, i : i + 3])] += G[0, 0, i]
    return gradient


def sliding_overwritten(x, G):
    gradient = numpy.zeros_like(x)
    for i in range(3):
        gradient[0, 0, i + numpy.argmax(x[0, 0, i : i + 3])] = G[0, 0, i]
    return gradient


IMAGES = [
    (convolution, "k", "reshape_like(correlate(x[0, 0], G[0, 0], 'valid'), k)", True),
    (convolution, "x", "reshape_like(convolve(G[0, 0], k[0, 0], 'full'), x)", True), (convolution, "G", "y", True),
    (convolution, "y", "G", True), (convolution, "k", "reshape_like(convolve(x[0, 0], G[0, 0], 'valid'), k)", False),
    (convolution, "x", "reshape_like(correlate(G[0, 0], k[0, 0], 'full'), x)", False),
    (convolution, "k", "correlate(x[0, 0], G[0, 0], 'valid')", False), (convolution, "k", "sum(G) * k", False),
    (convolution, "x", "reshape_like(convolve(G[0, 0], flip(k[0, 0], 0, 1), 'full'), x)", False),
    (convolution, "k", "reshape_like(correlate(x[0, 0], G[0, 0].T, 'valid'), k)", False),
    (convolution_of_maps, "x", over_maps, True),
    (convolution_of_maps, "x", lambda x, G, k: over_maps(x, G, k, flipped=True), False),
    (convolution_of_maps, "x", lambda x, G, k: over_maps(x, G, k, overlap=False), False),
    (convolution_of_maps, "k", of_filters, True),
    (convolution_of_maps, "k", lambda x, G: of_filters(x, G) / len(x), False),
    (convolution_of_maps, "k", lambda x, G: of_filters(x, G)[:, :, ::-1, ::-1], False),
    (convolution_of_maps, "k", lambda x, G: of_filters(x[:1], G[:1]), False),
    (convolution_of_maps, "k", lambda x, G: of_filters(x, G).transpose(1, 0, 2, 3), False),
    (padded, "k", strided, True), (padded, "k", not_strided, False),
    (biased, "b", "sum(G * (a > 0), axis=(0, 2, 3)).reshape(2, 1, 1)", True), (biased, "a", "G * (a > 0)", True),
    (biased, "x", "G * (a > 0)", True), (biased, "b", "sum(G * (a > 0), axis=0)", False),
    (biased, "b", "sum(G, axis=(0, 2, 3)).reshape(2, 1, 1)", False),
    (biased, "b", "sum(G * (a > 0), axis=(0, 2, 3))", False),
    (biased, "b", "mean(G * (a > 0), axis=(0, 2, 3)).reshape(2, 1, 1)", False),
    (biased, "b", "sum(G * (x > 0), axis=(0, 2, 3)).reshape(2, 1, 1)", False), (biased, "a", "G * a * (a > 0)", False),
    (average_pool, "x", lambda G: _spread(G) / 4, True), (average_pool, "x", _spread_upstream, False),
    (average_pool, "x", lambda G: _spread(G) / 2, False), (average_pool, "x", "G / 4", False),
    (average_pool, "y", "G", True), (max_pool, "x", winners, True), (max_pool, "x", _spread_upstream, False),
    (max_pool, "x", lambda G: _spread(G) / 4, False), (max_pool, "x", lambda x, y, G: x * winners(x, y, G), False),
    (max_pool, "x", lambda x, y, G: (x >= _spread(y) - 1e-3) * _spread(G), False),
    (max_pool, "x", lambda x, y, G: (x != _spread(y)) * _spread(G), False), (max_pool, "x", "G", False),
    (sliding_max_pool, "x", sliding_winners, True), (sliding_max_pool, "x", sliding_overwritten, False),
    (global_average, "x", "G[:, :, None, None] / 12 * ones_like(x)", True),
    (global_average, "x", "G[:, :, None, None] / 12", False),
    (global_average, "x", "G[:, :, None, None] * ones_like(x)", False),
    (global_average, "x", "G[:, :, None, None] / 4 * ones_like(x)", False),
    (whole_maximum, "x", "2 * y * (x == y)", True), (whole_maximum, "x", "2 * y * (x >= max(x))", True),
    (whole_maximum, "x", "2 * y", False), (whole_maximum, "x", "2 * x", False),
    (whole_maximum, "x", "2 * y * softmax(x)", False), (whole_maximum, "x", "y * (x == y)", False),
    (pooled_rectifier, "x", lambda x, y, G: (x == _spread(y)) * (x > 0) * _spread(G), True),
    (pooled_rectifier, "x", winners, True), (pooled_rectifier, "x", lambda x, G: (x > 0) * _spread(G), False),
    (pooled_rectifier, "h", lambda y, G: _spread(y * G), False),
]  # fmt: skip
