"""The figures that lecture decks work through by hand, through the public API; their slips shown as slips."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest

import graphc

FOUR = 5e-5  # figures that are printed with four decimals


# ---- 1. scalar circuits -----------------------------------------------------------------------------


def test_the_product_of_4_and_minus_3() -> None:
    x, y = graphc.inputs("x y")
    f = (x * y).named("f")
    run = graphc.backward(f).at(x=4, y=-3)
    assert run.value("f") == -12
    assert run.grad("x") == -3
    assert run.grad("y") == 4


def sum_times_z() -> tuple[graphc.Node, graphc.Backward, graphc.Run]:
    x, y, z = graphc.inputs("x y z")
    q = (x + y).named("q")
    f = (q * z).named("f")
    back = graphc.backward(f)
    return f, back, back.at(x=-2, y=5, z=-4)


def test_the_sum_times_z() -> None:
    _, _, run = sum_times_z()
    assert run.value("q") == 3
    assert run.value("f") == -12
    assert {name: float(run.grad(name)) for name in "zqxyf"} == {"z": 3, "q": -4, "x": -4, "y": -4, "f": 1}


def test_the_local_gradients_of_the_sum_times_z() -> None:
    _, back, run = sum_times_z()
    assert run.local("x", "q") == 1
    assert run.local("y", "q") == 1
    assert run.local("q", "f") == -4
    assert run.local("z", "f") == 3
    assert str(back.local("q", "f")) == "z"
    assert str(back.local("z", "f")) == "q"
    assert str(back.local("x", "q")) == str(back.local("y", "q")) == "1"
    assert {n: str(back.formula(n)) for n in "xyz"} == {"x": "z", "y": "z", "z": "x + y"}


NEURON = {"w0": 2, "x0": -1, "w1": -3, "x1": -2, "w2": -3}
NEURON_GRADIENTS = {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.1966}


def neuron_in_eight_gates() -> graphc.Run:
    """Two products, two sums, times -1, exp, plus 1, 1/x."""
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    first, second = (w0 * x0).named("first"), (w1 * x1).named("second")
    both = (first + second).named("both")
    total = (both + w2).named("total")
    negated = (total * -1.0).named("negated")
    grown = graphc.exp(negated).named("grown")
    below = (grown + 1.0).named("below")
    f = (1 / below).named("f")
    return graphc.backward(f).at(NEURON)


def test_the_neuron_in_eight_elementary_gates_forward() -> None:
    run = neuron_in_eight_gates()
    gates = [node.gate for node in run.back.nodes if node.kind == "gate"]
    assert gates == ["mul", "mul", "add", "add", "mul", "exp", "add", "reciprocal"]
    assert [float(run.value(name)) for name in ("first", "second", "both", "total", "negated")] == [-2, 6, 4, 1, -1]
    assert run.value("grown") == pytest.approx(0.3679, abs=FOUR)
    assert run.value("below") == pytest.approx(1.3679, abs=FOUR)
    assert run.value("f") == pytest.approx(0.7311, abs=FOUR)


def test_the_neuron_in_eight_elementary_gates_backward() -> None:
    run = neuron_in_eight_gates()
    wires = ("f", "below", "grown", "negated", "total", "both", "first", "second", "w2")
    found = [float(run.grad(name)) for name in wires]
    # nine gradient values, counting the seed
    expected = [1, -0.5344, -0.5344, -0.1966, 0.1966, 0.1966, 0.1966, 0.1966, 0.1966]
    assert found == pytest.approx(expected, abs=FOUR)
    for name, gradient in NEURON_GRADIENTS.items():
        assert run.grad(name) == pytest.approx(gradient, abs=FOUR)


def test_the_neuron_with_its_tail_folded_into_one_sigmoid() -> None:
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    f = graphc.sigmoid(w0 * x0 + w1 * x1 + w2).named("f")
    back = graphc.backward(f)
    run = back.at(NEURON)
    assert run.value("f") == pytest.approx(0.7311, abs=FOUR)
    for name, gradient in NEURON_GRADIENTS.items():
        assert run.grad(name) == pytest.approx(gradient, abs=FOUR)
    (total,) = f.operands
    assert str(back.local_expression(f, 0)) == "f * (1 - f)"
    value = float(run.value(f))
    assert run.local(total, f) == pytest.approx(value * (1 - value), rel=1e-12)


def test_both_neurons_agree_to_all_digits() -> None:
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    folded = graphc.backward(graphc.sigmoid(w0 * x0 + w1 * x1 + w2)).at(NEURON)
    elementary = neuron_in_eight_gates()
    for name in NEURON:
        assert folded.grad(name) == pytest.approx(float(elementary.grad(name)), rel=1e-14)


@pytest.mark.parametrize("make", [lambda: sum_times_z()[2], neuron_in_eight_gates], ids=["sum_times_z", "neuron"])
def test_on_every_edge_local_times_upstream_is_downstream(make) -> None:
    run = make()
    edges = 0
    for node in run.back.nodes:
        for position, operand in enumerate(node.operands):
            if (node, position) in run.back.edges:
                local = float(run.local(operand, node, position))
                assert local * float(run.grad(node)) == pytest.approx(float(run.edge(node, position)), rel=1e-14)
                edges += 1
    assert edges >= 4


def test_the_worked_table_shows_the_figures_of_the_slides() -> None:
    table = str(neuron_in_eight_gates())
    for figure in ("-0.5344", "-0.1966", "0.1966", "0.3932", "-0.3932", "-0.5898"):
        assert figure in table


def test_if_x_grows_by_h_f_changes_by_the_gradient_times_h() -> None:
    x, y = graphc.inputs("x y")
    f = x * y
    back = graphc.backward(f)
    at, h = back.at(x=4, y=-3), 0.25
    assert float(back.at(x=4 + h, y=-3).value(f)) - float(at.value(f)) == float(at.grad("x")) * h == -0.75


def test_add_distributes_max_routes_and_mul_switches() -> None:
    a, b = graphc.inputs("a b")
    upstream = 7.0
    runs = {
        name: graphc.backward(gate(a, b), upstream=upstream).at(a=3, b=-2)
        for name, gate in (("add", graphc.add), ("max", graphc.max), ("mul", graphc.mul))
    }
    found = {name: (float(run.grad("a")), float(run.grad("b"))) for name, run in runs.items()}
    assert found == {"add": (7, 7), "max": (7, 0), "mul": (-2 * 7, 3 * 7)}


def test_where_a_value_is_used_twice_the_gradients_add() -> None:
    x, y = graphc.inputs("x y")
    f = (x * y + x).named("f")
    run = graphc.backward(f).at(x=4, y=-3)
    assert run.grad("x") == -3 + 1
    assert graphc.backward(x * x).at(x=5).grad("x") == 10


# ---- 2. losses worked by hand -----------------------------------------------------------------------

SCORES = numpy.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])


def test_the_multiclass_hinge_of_cat_car_and_frog() -> None:
    hinge = graphc.gate("margin[n,c] = max(0, s[n,c] - s[n,t[n]] + 1)\nloss[n] = sum(margin[n,c], c) - 1", name="hinge")
    scores, label = graphc.input("s", ("N", 3)), graphc.input("t", ("N",), dtype="int32")
    losses = hinge(scores, label)
    mean = graphc.mean(losses)
    run = graphc.backward(mean).at(s=SCORES, t=[0, 1, 2])
    assert run.value(losses).round(10).tolist() == [2.9, 0.0, 12.9]
    assert run.value(mean) == pytest.approx(5.2667, abs=FOUR)


def test_the_softmax_of_the_first_image() -> None:
    softmax = graphc.gate("p[c] = exp(s[c]) / sum(exp(s[d]), d)", name="softmax")
    s = graphc.input("s", (3,))
    p = softmax(s)
    run = graphc.backward(graphc.sum(p)).at(s=SCORES[0])
    assert run.value(p) == pytest.approx([0.1300, 0.8690, 0.0010], abs=FOUR)


def test_the_cross_entropy_of_class_0_in_nats_and_in_decimal_digits() -> None:
    scores, label = graphc.input("scores", (1, 3)), graphc.input("label", (1,), dtype="int32")
    loss = graphc.softmax_cross_entropy(scores, label)
    run = graphc.backward(loss).at(scores=SCORES[:1], label=[0])
    assert run.value(loss) == pytest.approx(2.0404, abs=FOUR)
    assert float(run.value(loss)) / math.log(10) == pytest.approx(0.8861, abs=FOUR)
    # its gradient is the softmax less the truth
    assert run.grad("scores")[0] == pytest.approx([0.1300 - 1, 0.8690, 0.0010], abs=FOUR)


def test_the_cross_entropy_is_the_same_when_it_is_compiled() -> None:
    scores, label = graphc.input("scores", ("N", 3)), graphc.input("label", ("N",), dtype="int32")
    step = graphc.compile([graphc.softmax_cross_entropy(scores, label)])
    (value,) = step(scores=SCORES[:1], label=[0])
    assert float(value) == pytest.approx(2.0404, abs=FOUR)


def two_layers(hidden: str, output: str) -> graphc.Backward:
    """``E = 1/2 sum (y - t)**2`` of a net with 3 inputs, 4 hidden and 2 output units, no bias."""
    x, t = graphc.input("x", (3,), dtype="float64"), graphc.input("t", (2,), dtype="float64")
    w_ji = graphc.parameter("w_ji", (4, 3), dtype="float64")
    w_kj = graphc.parameter("w_kj", (2, 4), dtype="float64")
    units = {"tanh": graphc.tanh, "sigmoid": graphc.sigmoid, "linear": lambda a: a * 1.0}
    z = units[hidden](w_ji @ x).named("z")
    y = units[output](w_kj @ z).named("y")
    return graphc.backward((graphc.sum((y - t) ** 2) * 0.5).named("E"))


def two_layer_data() -> dict[str, numpy.ndarray]:
    generator = numpy.random.default_rng(3)
    shapes = {"x": (3,), "t": (2,), "w_ji": (4, 3), "w_kj": (2, 4)}
    return {name: generator.normal(size=shape) for name, shape in shapes.items()}


def test_the_two_layer_net_with_tanh_units_and_squared_error() -> None:
    data = two_layer_data()
    run = two_layers("tanh", "linear").at(data)
    y, z = run.value("y"), run.value("z")
    delta_k = y - data["t"]
    delta_j = (1 - z**2) * (data["w_kj"].T @ delta_k)
    assert run.grad("y") == pytest.approx(delta_k, rel=1e-12)
    assert run.grad("w_ji") == pytest.approx(numpy.outer(delta_j, data["x"]), rel=1e-12)
    assert run.grad("w_kj") == pytest.approx(numpy.outer(delta_k, z), rel=1e-12)


def test_the_two_layer_net_with_sigmoid_units_and_squared_error() -> None:
    data = two_layer_data()
    run = two_layers("sigmoid", "sigmoid").at(data)
    y, z = run.value("y"), run.value("z")
    delta_k = y * (1 - y) * (y - data["t"])
    delta_j = z * (1 - z) * (data["w_kj"].T @ delta_k)
    assert run.grad("w_ji") == pytest.approx(numpy.outer(delta_j, data["x"]), rel=1e-12)
    assert run.grad("w_kj") == pytest.approx(numpy.outer(delta_k, z), rel=1e-12)


def test_the_sigmoid_net_updated_after_every_example() -> None:
    back, rate = two_layers("sigmoid", "sigmoid"), 0.5
    data = two_layer_data()
    step = graphc.compile([back.root], optimizer=graphc.SGD(rate), dtype="float64")
    weights = {name: data[name].copy() for name in ("w_ji", "w_kj")}
    for name, array in weights.items():
        step.parameters[name][...] = array
    generator = numpy.random.default_rng(4)
    for _ in range(5):
        x, t = generator.normal(size=3), generator.uniform(size=2)
        step(x=x, t=t)
        z = 1 / (1 + numpy.exp(-weights["w_ji"] @ x))
        y = 1 / (1 + numpy.exp(-weights["w_kj"] @ z))
        delta_k = y * (1 - y) * (y - t)
        delta_j = z * (1 - z) * (weights["w_kj"].T @ delta_k)
        weights["w_kj"] -= rate * numpy.outer(delta_k, z)
        weights["w_ji"] -= rate * numpy.outer(delta_j, x)
        for name, array in weights.items():
            assert numpy.asarray(step.parameters[name]) == pytest.approx(array, rel=1e-10)


def test_tanh_is_a_stretched_sigmoid() -> None:
    x = graphc.input("x", (9,), dtype="float64")
    difference = graphc.tanh(x) - (2.0 * graphc.sigmoid(2.0 * x) - 1.0)
    points = numpy.linspace(-4, 4, 9)
    run = graphc.backward(graphc.sum(difference)).at(x=points)
    assert numpy.abs(run.value(difference)).max() < 1e-15
    assert numpy.abs(run.grad("x")).max() < 1e-15


def test_the_triplet_loss() -> None:
    loss = graphc.gate(
        "d[b] = sum((a[b,k] - p[b,k])**2, k) - sum((a[b,k] - n[b,k])**2, k)\nloss = sum(max(0, d[b] + alpha), b)",
        name="triplet", alpha=0.2,
    )  # fmt: skip
    generator = numpy.random.default_rng(5)
    data = {name: generator.normal(size=(6, 4)) for name in "apn"}
    nodes = [graphc.input(name, (6, 4)) for name in "apn"]
    root = loss(*nodes)
    expected = sum(
        max(0.0, float(((a - p) ** 2).sum() - ((a - n) ** 2).sum() + 0.2))
        for a, p, n in zip(*data.values(), strict=True)
    )
    assert graphc.backward(root).at(data).value(root) == pytest.approx(expected, rel=1e-12)


# ---- 3. convolution, pooling and counting -----------------------------------------------------------


def rows(*text: str) -> numpy.ndarray:
    return numpy.array([[float(c) for c in row] for row in text])


IMAGE = rows("33210", "00131", "31223", "20022", "20001")
FILTER = rows("012", "220", "012")
RESULT = numpy.array([[12, 12, 17], [10, 17, 19], [9, 6, 14]])


def test_the_convolution_worked_by_hand() -> None:
    x, w = graphc.input("x", (1, 1, 5, 5)), graphc.input("w", (1, 1, 3, 3))
    y = graphc.conv2d(x, w)
    data = {"x": IMAGE[None, None], "w": FILTER[None, None]}
    run = graphc.backward(graphc.sum(y)).at(data)
    assert numpy.array_equal(run.value(y)[0, 0], RESULT)
    (compiled,) = graphc.compile([y])(**data)
    assert numpy.array_equal(compiled[0, 0], RESULT)


def test_a_convolution_seen_four_ways() -> None:
    x, w = graphc.input("x", (1, 1, 5, 5)), graphc.input("w", (1, 1, 3, 3))
    y = graphc.conv2d(x, w).named("y")
    run = graphc.backward(graphc.sum(y)).at(x=IMAGE[None, None], w=FILTER[None, None])
    # a sliding dot product
    windows = numpy.lib.stride_tricks.sliding_window_view(IMAGE, (3, 3))
    sliding = (windows * FILTER).sum((2, 3))
    # a sparse matrix with shared weights: the Jacobian
    matrix = run.local("x", "y", jacobian=True).reshape(9, 25)
    assert sorted(set(matrix.ravel())) == [0.0, 1.0, 2.0]
    assert (numpy.count_nonzero(matrix, axis=1) == numpy.count_nonzero(FILTER)).all()
    # a locally connected layer whose weights are tied
    local = graphc.gate("y[i,j] = sum(x[i+r,j+s] * w[i,j,r,s], r, s)", name="local")
    tied = local(graphc.input("a", (5, 5)), graphc.input("v", (3, 3, 3, 3)))
    untied = graphc.backward(graphc.sum(tied)).at(a=IMAGE, v=numpy.broadcast_to(FILTER, (3, 3, 3, 3)))
    # a matrix of patches times the filter
    patches = windows.reshape(9, 9) @ FILTER.ravel()
    for found in (sliding, (matrix @ IMAGE.ravel()).reshape(3, 3), untied.value(tied), patches.reshape(3, 3)):
        assert numpy.array_equal(found, RESULT)


def conv_shape(
    image: tuple[int, int, int], maps: int, size: int, *, stride: int = 1, padding: int | str = 0
) -> tuple[int, ...]:
    x = graphc.input("image", ("N", *image))
    return graphc.layers.conv2d(x, maps, size, stride=stride, padding=padding, name="conv").shape[1:]


def test_one_filter_gives_one_map_and_six_give_six() -> None:
    assert conv_shape((3, 32, 32), 1, 5) == (1, 28, 28)
    assert conv_shape((3, 32, 32), 6, 5) == (6, 28, 28)


def test_each_of_36_filters_over_16_channels_is_3_by_3_by_16() -> None:
    x = graphc.input("image", ("N", 16, 8, 8))
    layer = graphc.layers.conv2d(x, 36, 3, name="conv", bias=False)
    (weight,) = [node for node in graphc.graph.topological([layer]) if node.kind == "parameter"]
    assert weight.shape == (36, 16, 3, 3)
    assert graphc.count(layer)["conv"].parameters == 36 * 3 * 3 * 16


@pytest.mark.parametrize(("extent", "size", "stride"), list(itertools.product((5, 8, 32), (1, 3, 5), (1, 2, 3))))
def test_the_valid_output_size_is_the_formula_of_the_deck(extent: int, size: int, stride: int) -> None:
    assert conv_shape((1, extent, extent), 1, size, stride=stride)[1] == (extent - size) // stride + 1


def test_full_overlap_of_200_by_200_gives_204_by_204_and_832_320_neurons() -> None:
    x = graphc.input("image", ("N", 3, 200, 200))
    layer = graphc.layers.conv2d(x, 20, 5, padding="full", name="conv")
    assert layer.shape[1:] == (20, 204, 204)
    assert (200 + 5) // 1 - 1 == 204
    assert graphc.count(layer)["conv"].activations == 832_320


def test_twenty_maps_of_5_by_5_by_3_have_1500_parameters_without_bias() -> None:
    x = graphc.input("image", ("N", 3, 200, 200))
    layer = graphc.layers.conv2d(x, 20, 5, bias=False, name="conv")
    assert graphc.count(layer).parameters == 1_500
    assert graphc.count(layer)["conv"].formula == "20·(5·5·3)"


def test_the_printed_4_800_000_is_a_slip_of_three_zeros() -> None:
    x = graphc.input("image", ("N", 3, 200, 200))
    layer = graphc.layers.dense(graphc.flatten(x), 40_000, bias=False, name="dense")
    parameters = graphc.count(layer).parameters
    assert parameters == 4_800_000_000
    assert parameters == 1_000 * 4_800_000  # what the deck prints


def test_locally_connected_units_with_patches_of_10_by_10_have_4_000_000_parameters() -> None:
    local = graphc.gate(
        "y[n,i,j] = sum(x[n,i+r-4,j+s-4] * w[i,j,r,s], r, s)", name="local",
        outside={"x": 0}, extents={"i": "size(x,1)", "j": "size(x,2)"},
    )  # fmt: skip
    weight = graphc.parameter("local.weight", (200, 200, 10, 10))
    layer = local(graphc.input("image", ("N", 200, 200)), weight)
    assert layer.shape[1:] == (200, 200)
    assert math.prod(int(str(extent)) for extent in layer.shape[1:]) == 40_000
    assert graphc.count(layer).parameters == 4_000_000


def test_an_image_of_256_by_256_to_1000_units_has_65_million_parameters() -> None:
    x = graphc.input("image", ("N", 256, 256))
    layer = graphc.layers.dense(graphc.flatten(x), 1_000, bias=False, name="dense")
    assert graphc.count(layer).parameters == 65_536_000
    assert round(graphc.count(layer).parameters / 1e6, 1) == 65.5


def test_the_printed_57_of_alexnet_is_a_slip_and_a_full_convolution_gives_59() -> None:
    assert (224 + 11) / 4 - 1 == 57.75  # the deck's formula, which holds for stride 1 only; it prints 57
    assert (224 + 2 * 10 - 11) // 4 + 1 == 59
    assert conv_shape((3, 224, 224), 96, 11, stride=4, padding="full") == (96, 59, 59)
    # for stride 1 the formula holds, and the layer of the paper has 55
    assert conv_shape((3, 224, 224), 96, 11, padding="full") == (96, 224 + 11 - 1, 224 + 11 - 1)
    assert conv_shape((3, 224, 224), 96, 11, stride=4, padding=2) == (96, 55, 55)


@pytest.mark.parametrize(("stride", "outputs"), [(1, 3), (2, 2)])
def test_max_pooling_of_5_elements_with_windows_of_3(stride: int, outputs: int) -> None:
    x = graphc.input("x", (1, 1, 1, 5))
    y = graphc.max_pool2d(x, (1, 3), stride=(1, stride))
    assert y.shape == (1, 1, 1, outputs)
    values = numpy.array([2.0, 5.0, 1.0, 0.0, 4.0])
    expected = [values[k : k + 3].max() for k in range(0, 3, stride)]
    assert graphc.backward(graphc.sum(y)).at(x=values.reshape(1, 1, 1, 5)).value(y).ravel().tolist() == expected


def test_max_pooling_of_5_by_5_with_windows_of_3_by_3() -> None:
    y = graphc.max_pool2d(graphc.input("x", (1, 1, 5, 5)), 3, stride=1)
    assert y.shape == (1, 1, 3, 3)
    found = graphc.backward(graphc.sum(y)).at(x=IMAGE[None, None]).value(y)[0, 0]
    assert numpy.array_equal(found, numpy.lib.stride_tricks.sliding_window_view(IMAGE, (3, 3)).max((2, 3)))


def test_a_noughts_and_crosses_image_is_told_by_two_diagonals_and_a_cross() -> None:
    """The toy task: 9x9 images of X and O in -1 and 1, small filters, ReLU, pooling, a vote."""
    cross, ring = -numpy.ones((9, 9)), -numpy.ones((9, 9))
    for k in range(1, 8):
        cross[k, k] = cross[k, 8 - k] = 1
        ring[1, k] = ring[7, k] = ring[k, 1] = ring[k, 7] = 1
    diagonal = 2 * numpy.eye(3) - 1
    both = numpy.maximum(diagonal, diagonal[::-1])
    x = graphc.input("x", ("N", 1, 9, 9))
    filters = graphc.constant(numpy.stack([diagonal, diagonal[::-1], both])[:, None] / 9)
    maps = graphc.max_pool2d(graphc.relu(graphc.conv2d(x, filters)), 7)
    assert maps.shape[1:] == (3, 1, 1)
    (votes,) = graphc.compile([graphc.flatten(maps)])(x=numpy.stack([cross, ring])[:, None])
    assert votes[0] == pytest.approx([1.0, 1.0, 1.0], rel=1e-6)  # every filter finds itself in the X
    assert (votes[1] < 0.9).all()


def test_the_first_layer_of_the_alexnet_table() -> None:
    x = graphc.input("image", ("N", 3, 224, 224))
    table = graphc.count(graphc.layers.conv2d(x, 96, 11, stride=4, padding=2, name="conv1"))
    layer = table["conv1"]
    assert layer.activations == 96 * 55 * 55 == 290_400
    assert layer.parameters == 96 * (11 * 11 * 3 + 1) == 34_944
    # a multiply-add counts 2, and the bias is one addition for each output
    assert layer.flops == 290_400 * (2 * 11 * 11 * 3 + 1)
