"""Figures that lecture decks work through by hand, with the gates and layers of the library by their names."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest

import graphc

FOUR = 5e-5  # figures that are printed with four decimals
L = graphc.layers


# ---- losses of the linear classifier ------------------------------------------------------------------

SCORES = numpy.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])  # cat, car, frog
TRUE = [0, 1, 2]


def classifier() -> tuple[graphc.Node, graphc.Node]:
    return graphc.input("scores", ("N", 3)), graphc.input("label", ("N",), dtype="int32")


def test_the_hinge_of_three_images_and_its_mean():
    scores, label = classifier()
    each = graphc.multiclass_hinge(scores, label, reduction="none")
    mean = graphc.multiclass_hinge(scores, label)
    run = graphc.backward(mean + graphc.sum(each)).at(scores=SCORES, label=TRUE)
    assert run.value(each).round(10).tolist() == [2.9, 0.0, 12.9]
    assert run.value(mean) == pytest.approx(5.2667, abs=FOUR)


def test_the_hinge_moves_the_true_score_up_once_for_each_class_that_is_too_close():
    scores, label = classifier()
    run = graphc.backward(graphc.multiclass_hinge(scores, label, reduction="sum")).at(scores=SCORES, label=TRUE)
    assert run.grad("scores").tolist() == [[-1, 1, 0], [0, 0, 0], [1, 1, -2]]


@pytest.mark.parametrize(("penalty", "norm"), [(graphc.l2, 2), (graphc.l1, 1)])
def test_the_regularised_loss_is_the_hinge_plus_lambda_times_r_of_w(penalty, norm):
    # x is the identity, so that the scores are the columns of W themselves
    x, label = graphc.input("x", ("N", 3)), graphc.input("label", ("N",), dtype="int32")
    w = graphc.parameter("W", (3, 3), initial=SCORES.T)
    data = graphc.multiclass_hinge(L.dense(x, 3, name="scores", weight=w, bias=False), label)
    loss = data + penalty(w, 0.1)
    run = graphc.backward(loss).at(x=numpy.eye(3), label=TRUE)
    assert run.value(data) == pytest.approx(5.2667, abs=FOUR)
    assert run.value(loss) == pytest.approx(15.8 / 3 + 0.1 * (numpy.abs(SCORES) ** norm).sum(), rel=1e-12)
    hinge = numpy.array([[-1, 1, 0], [0, 0, 0], [1, 1, -2]]).T / 3
    slope = 2 * SCORES.T if norm == 2 else numpy.sign(SCORES.T)
    assert run.grad("W") == pytest.approx(hinge + 0.1 * slope, rel=1e-12)


def test_the_softmax_and_the_cross_entropy_of_the_first_image():
    scores, label = classifier()
    p, loss = graphc.softmax(scores), graphc.softmax_cross_entropy(scores, label)
    run = graphc.backward(graphc.sum(p) + loss).at(scores=SCORES[:1], label=[0])
    assert run.value(p)[0] == pytest.approx([0.1300, 0.8690, 0.0010], abs=FOUR)
    assert run.value(loss) == pytest.approx(2.0404, abs=FOUR)
    assert float(run.value(loss)) / math.log(10) == pytest.approx(0.8861, abs=FOUR)
    logs = graphc.log_softmax(scores)
    assert graphc.backward(graphc.sum(logs)).at(scores=SCORES[:1]).value(logs)[0, 0] == pytest.approx(-2.0404, abs=FOUR)


def test_the_same_losses_compiled():
    scores, label = classifier()
    outputs = [graphc.multiclass_hinge(scores, label), graphc.softmax_cross_entropy(scores, label)]
    hinge, _ = graphc.compile(outputs, dtype="float64")(scores=SCORES, label=TRUE)
    _, entropy = graphc.compile(outputs, dtype="float64")(scores=SCORES[:1], label=[0])
    assert hinge == pytest.approx(15.8 / 3, rel=1e-12)
    assert entropy == pytest.approx(2.0404, abs=FOUR)


def test_the_triplet_loss_is_summed_over_rows():
    anchor, positive, negative = (graphc.input(name, (3, 2)) for name in ("a", "p", "n"))
    loss = graphc.triplet_loss(anchor, positive, negative, margin=0.5, reduction="sum")
    data = {"a": [[0, 0], [1, 1], [0, 0]], "p": [[1, 0], [1, 1], [2, 0]], "n": [[0, 1], [3, 1], [0, 1]]}
    # |a-p|^2 - |a-n|^2 + 1/2 = 1/2, -7/2, 7/2
    run = graphc.backward(loss).at(data)
    assert run.value(loss) == 4.0
    assert run.grad("a").tolist() == [[-2.0, 2.0], [0.0, 0.0], [-4.0, 2.0]]  # 2(n - p)
    assert run.grad("p").tolist() == [[2.0, 0.0], [0.0, 0.0], [4.0, 0.0]]  # 2(p - a)
    assert run.grad("n").tolist() == [[0.0, -2.0], [0.0, 0.0], [0.0, -2.0]]  # 2(a - n)


# ---- two layers and a squared error -------------------------------------------------------------------


@pytest.mark.parametrize(("hidden", "output"), [("tanh", "linear"), ("sigmoid", "sigmoid")])
def test_the_deltas_of_the_two_layer_net(hidden, output):
    x, t = graphc.input("x", (1, 3)), graphc.input("t", (1, 2))
    z = getattr(graphc, hidden)(L.dense(x, 4, bias=False, name="first")).named("z")
    a = L.dense(z, 2, bias=False, name="second").named("a")
    y = (graphc.sigmoid(a) if output == "sigmoid" else a * 1.0).named("y")
    generator = numpy.random.default_rng(7)
    data = {"x": generator.normal(size=(1, 3)), "t": generator.uniform(size=(1, 2))}
    first, second = generator.normal(size=(4, 3)), generator.normal(size=(2, 4))
    run = graphc.backward(graphc.squared_error(y, t, reduction="sum")).at(
        data | {"first.weight": first, "second.weight": second}
    )
    zs, ys = run.value("z")[0], run.value("y")[0]
    delta_k = (ys * (1 - ys) if output == "sigmoid" else 1) * (ys - data["t"][0])
    delta_j = (zs * (1 - zs) if hidden == "sigmoid" else 1 - zs**2) * (second.T @ delta_k)
    assert run.grad("a")[0] == pytest.approx(delta_k, rel=1e-12)
    assert run.grad("second.weight") == pytest.approx(numpy.outer(delta_k, zs), rel=1e-12)
    assert run.grad("first.weight") == pytest.approx(numpy.outer(delta_j, data["x"][0]), rel=1e-12)


# ---- activations side by side -------------------------------------------------------------------------

POINTS = numpy.array([-10.0, -2.0, -0.5, 0.5, 2.0, 10.0])
SIGMOID = 1 / (1 + numpy.exp(-POINTS))
POSITIVE = POINTS > 0

#: Activation, its values and its derivative at the points, as the slides write them.
ACTIVATIONS = {
    "sigmoid": (graphc.sigmoid, SIGMOID, SIGMOID * (1 - SIGMOID)),
    "tanh": (graphc.tanh, numpy.tanh(POINTS), 1 - numpy.tanh(POINTS) ** 2),
    "relu": (graphc.relu, numpy.maximum(0, POINTS), POSITIVE * 1.0),
    "leaky relu": (
        lambda x: graphc.leaky_relu(x, slope=0.1), numpy.maximum(0.1 * POINTS, POINTS), numpy.where(POSITIVE, 1, 0.1),
    ),
    "elu": (
        lambda x: graphc.elu(x, alpha=0.5),
        numpy.where(POSITIVE, POINTS, 0.5 * numpy.expm1(numpy.minimum(POINTS, 0))),
        numpy.where(POSITIVE, 1, 0.5 * numpy.exp(numpy.minimum(POINTS, 0))),
    ),
    "softplus": (graphc.softplus, numpy.log1p(numpy.exp(POINTS)), SIGMOID),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_derivative_are_those_of_the_slide(name):
    make, value, derivative = ACTIVATIONS[name]
    y = make(graphc.input("x", (6,)))
    run = graphc.backward(graphc.sum(y)).at(x=POINTS)
    assert run.value(y) == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert run.grad("x") == pytest.approx(derivative, rel=1e-6, abs=1e-15)


def slope(make, at: float) -> float:
    y = make(graphc.input("x"))
    return float(graphc.backward(y).at(x=at).grad("x"))


def test_saturated_units_kill_the_gradient_and_rectified_ones_die():
    assert slope(graphc.sigmoid, 0.0) == 0.25  # the largest slope: ten layers leave less than a millionth
    assert 0.25**10 < 1e-6
    assert slope(graphc.tanh, 0.0) == 1.0
    for make in (graphc.sigmoid, graphc.tanh):
        assert slope(make, 10.0) < 5e-5
        assert slope(make, -10.0) < 5e-5
    assert slope(graphc.relu, 10.0) == 1.0
    assert slope(graphc.relu, -10.0) == 0.0  # dead: no gradient, whatever the upstream one
    assert slope(graphc.leaky_relu, -10.0) == 0.01
    assert 0 < slope(graphc.elu, -10.0) < 5e-5


def test_a_dead_rectifier_stays_dead():
    x, t = graphc.input("x", ("N", 2)), graphc.input("t", ("N", 1))
    y = graphc.relu(L.dense(x, 1, name="unit", initial=[[-5.0, -5.0]]))
    step = graphc.compile([graphc.squared_error(y, t)], optimizer=graphc.SGD(0.5), dtype="float64")
    before = step.parameters["unit.weight"].copy()
    for _ in range(10):
        step(x=numpy.random.default_rng(0).uniform(0.1, 1, size=(8, 2)), t=numpy.ones((8, 1)))
    assert numpy.array_equal(step.parameters["unit.weight"], before)


def test_tanh_is_a_sigmoid_stretched_and_shifted():
    x = graphc.input("x", (6,))
    difference = graphc.tanh(x) - (2 * graphc.sigmoid(2 * x) - 1)
    run = graphc.backward(graphc.sum(difference)).at(x=POINTS)
    assert numpy.abs(run.value(difference)).max() < 1e-15
    assert numpy.abs(run.grad("x")).max() < 1e-15
    report = graphc.check(graphc.tanh(graphc.input("u").named("u")), {"u": "4*sigmoid(2*u)*(1 - sigmoid(2*u))"})
    assert report.ok  # the derivative that follows: 2 * 2 * s(1 - s)


def test_maxout_of_two_linear_functions():
    x = graphc.input("x", ("N", 2))
    y = L.maxout(x, 1, 2, name="unit")
    w, b = numpy.array([[1.0, -2.0], [0.5, 3.0]]), numpy.array([0.5, -1.0])
    data = numpy.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    run = graphc.backward(graphc.sum(y)).at({"x": data, "unit.linear.weight": w, "unit.linear.bias": b})
    assert run.value(y).ravel().tolist() == [2.5, 3.5, 0.5]
    assert run.grad("x").tolist() == [[0.5, 3.0], [1.0, -2.0], [1.0, -2.0]]  # the slope of the winner
    assert run.grad("unit.linear.bias").tolist() == [2.0, 1.0]


def test_maxout_makes_a_rectifier_and_an_absolute_value():
    x = graphc.input("x", ("N", 1))
    data = numpy.array([[-2.0], [3.0]])
    for slopes, expected in (([[0.0], [1.0]], [0, 3]), ([[-1.0], [1.0]], [2, 3])):
        y = L.maxout(x, 1, bias=False, name="unit", initial=slopes)
        assert graphc.compile([y])(x=data)[0].ravel().tolist() == expected


# ---- training -----------------------------------------------------------------------------------------


def quadratic(optimizer: graphc.SGD) -> graphc.kernels.Step:
    w = graphc.parameter("w", (2,), initial=[1.0, -2.0])
    return graphc.compile([graphc.sum(w * w * [0.5, 2.0])], optimizer=optimizer, dtype="float64")


def test_momentum_keeps_a_share_of_the_last_step():
    # delta <- kappa * delta + g, w <- w - gamma * delta
    kappa, gamma = 0.9, 0.1
    step = quadratic(graphc.SGD(gamma, momentum=kappa))
    w, delta = numpy.array([1.0, -2.0]), numpy.zeros(2)
    for _ in range(6):
        step()
        delta = kappa * delta + numpy.array([1.0, 4.0]) * w
        w = w - gamma * delta
        assert step.parameters["w"] == pytest.approx(w, rel=1e-12)


def test_a_decaying_rate_acts_at_the_next_step():
    optimizer = graphc.SGD(0.1)
    step = quadratic(optimizer)
    w = numpy.array([1.0, -2.0])
    for number in range(6):
        optimizer.learning_rate = 0.1 / (1 + number)
        step()
        w = w - 0.1 / (1 + number) * numpy.array([1.0, 4.0]) * w
        assert step.parameters["w"] == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize("batch", [100, 1000])
def test_mini_batches_of_100_to_1000_find_the_line(batch):
    generator = numpy.random.default_rng(2)
    x = generator.normal(size=(2000, 2))
    t = x @ [[2.0], [-1.0]] + 0.5
    features, target = graphc.input("x", ("N", 2)), graphc.input("t", ("N", 1))
    loss = graphc.squared_error(L.dense(features, 1, name="line"), target)
    trainer = graphc.Trainer(loss, optimizer=graphc.SGD(0.3, momentum=0.5), seed=0)
    trainer.fit({"x": x, "t": t}, batch_size=batch, epochs=12)
    assert trainer.parameters["line.weight"] == pytest.approx(numpy.array([[2.0, -1.0]]), abs=1e-2)
    assert trainer.parameters["line.bias"] == pytest.approx([0.5], abs=1e-2)


def test_dropout_keeps_the_mean_and_is_off_in_use():
    y = L.dropout(graphc.input("x", ("N", 100)), 0.5, name="drop")
    data = numpy.ones((200, 100))
    dropped = graphc.compile([y], seed=1)(x=data)[0]
    assert sorted(set(dropped.ravel().tolist())) == [0.0, 2.0]
    assert dropped.mean() == pytest.approx(1.0, abs=0.03)
    assert (graphc.compile([y], training=False)(x=data)[0] == 1).all()


# ---- convolution seen four ways -----------------------------------------------------------------------


def rows(*text: str) -> numpy.ndarray:
    return numpy.array([[float(c) for c in row] for row in text])


IMAGE = rows("33210", "00131", "31223", "20022", "20001")
FILTER = rows("012", "220", "012")
RESULT = numpy.array([[12, 12, 17], [10, 17, 19], [9, 6, 14]])


def worked() -> graphc.Node:
    return graphc.conv2d(graphc.input("x", (1, 1, 5, 5)), graphc.parameter("w", (1, 1, 3, 3)))


def test_a_convolution_is_a_sparse_matrix_with_shared_weights():
    view = graphc.toeplitz(worked())
    matrix = view.matrix(FILTER[None, None])
    assert matrix.shape == (9, 25)
    assert numpy.array_equal((matrix @ IMAGE.ravel()).reshape(3, 3), RESULT)
    assert numpy.array_equal(matrix[0, :5], [0, 1, 2, 0, 0])  # the first row of the filter, and then nothing
    assert (view.uses == 9).all()
    assert str(view).splitlines()[0].split()[:7] == ["w0", "w1", "w2", ".", ".", "w3", "w4"]


def test_a_convolution_is_a_locally_connected_layer_with_tied_weights():
    local = graphc.locally_connected2d(graphc.input("x", (1, 1, 5, 5)), graphc.parameter("w", (3, 3, 1, 1, 3, 3)))
    tied = numpy.broadcast_to(FILTER, (3, 3, 1, 1, 3, 3))
    run = graphc.backward(graphc.sum(local)).at(x=IMAGE[None, None], w=tied)
    assert numpy.array_equal(run.value(local)[0, 0], RESULT)
    # tied weights have one gradient, the sum of those of all places
    shared = graphc.backward(graphc.sum(worked())).at(x=IMAGE[None, None], w=FILTER[None, None]).grad("w")
    assert numpy.array_equal(run.grad("w").sum((0, 1)), shared)
    assert (graphc.toeplitz(local).uses == 1).all()


def test_a_convolution_is_a_matrix_of_patches_times_a_matrix_of_filters():
    view = graphc.patches(worked())
    patches = view.patch_matrix(IMAGE[None, None])
    assert patches[0].tolist() == [3, 3, 2, 0, 0, 1, 3, 1, 2]
    assert numpy.array_equal((patches @ view.filter_matrix(FILTER[None, None])).reshape(3, 3), RESULT)


def test_a_convolution_along_one_axis_is_a_band_matrix():
    y = graphc.conv1d(graphc.input("x", ("N", 1, 5)), graphc.parameter("w", (1, 1, 3)))
    assert str(graphc.toeplitz(y)).splitlines() == ["w0 w1 w2 .  .", ".  w0 w1 w2 .", ".  .  w0 w1 w2"]


# ---- pooling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "outputs"), [(1, 3), (2, 2)])
def test_max_pooling_along_one_axis_of_5_elements_with_windows_of_3(stride, outputs):
    y = graphc.max_pool1d(graphc.input("x", (1, 1, 5)), 3, stride=stride)
    assert y.shape == (1, 1, outputs)
    values = numpy.array([2.0, 5.0, 1.0, 0.0, 4.0])
    found = graphc.backward(graphc.sum(y)).at(x=values[None, None]).value(y)[0, 0]
    assert found.tolist() == [values[k : k + 3].max() for k in range(0, 3, stride)]


# ---- counting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("extent", "size"), list(itertools.product((5, 8, 32, 200), (1, 3, 5))))
def test_the_formula_for_full_overlap_holds_for_stride_1(extent, size):
    y = L.conv2d(graphc.input("x", ("N", 1, extent, extent)), 1, size, padding="full", name="conv")
    assert y.shape[2] == (extent + size) // 1 - 1


def test_the_three_ways_to_connect_an_image_of_200_by_200_by_3():
    image = graphc.input("image", ("N", 3, 200, 200))
    shared = graphc.count(L.conv2d(image, 20, 5, padding="full", bias=False, name="maps"))["maps"]
    assert (shared.parameters, shared.activations, shared.formula) == (1_500, 832_320, "20·(5·5·3)")
    full = graphc.count(L.dense(graphc.flatten(image), 40_000, bias=False, name="full"))["full"]
    assert full.parameters == 4_800_000_000  # a deck prints 4,800,000
    assert full.formula == "40,000·120,000"
    grey = graphc.input("image", ("N", 1, 200, 200))
    local = graphc.count(L.locally_connected2d(grey, 1, 10, padding="same", bias=False, name="local"))["local"]
    assert local.activations == 40_000
    assert local.parameters == 4_000_000
    assert local.formula == "40,000·(10·10·1)"


def test_an_image_of_256_by_256_to_1000_units_needs_65_million_weights():
    count = graphc.count(L.dense(graphc.input("x", ("N", 256 * 256)), 1_000, bias=False, name="dense"))
    assert count["dense"].formula == "1,000·65,536"
    assert round(count.parameters / 1e6, 1) == 65.5


def test_the_first_layer_of_alexnet_by_full_overlap_has_59_rows():
    y = L.conv2d(graphc.input("x", ("N", 3, 224, 224)), 96, 11, stride=4, padding="full", name="conv1")
    assert y.shape[2:] == (59, 59)  # not 57.75, which a formula for stride 1 gives


def alexnet() -> graphc.Node:
    """The network of the paper, its two columns as groups, on images of 227 x 227."""
    h = graphc.input("image", ("N", 3, 227, 227))

    def conv(h: graphc.Node, maps: int, size: int, name: str, **options: int) -> graphc.Node:
        return graphc.relu(L.conv2d(h, maps, size, name=name, **options))

    def pool(h: graphc.Node, name: str) -> graphc.Node:
        return graphc.max_pool2d(h, 3, stride=2).named(name)

    h = pool(graphc.local_response_norm(conv(h, 96, 11, "conv1", stride=4)).named("norm1"), "pool1")
    h = pool(graphc.local_response_norm(conv(h, 256, 5, "conv2", padding=2, groups=2)).named("norm2"), "pool2")
    h = conv(h, 384, 3, "conv3", padding=1)
    h = conv(h, 384, 3, "conv4", padding=1, groups=2)
    h = graphc.flatten(pool(conv(h, 256, 3, "conv5", padding=1, groups=2), "pool5"))
    h = L.dropout(graphc.relu(L.dense(h, 4096, name="dense6")), name="drop6")
    h = L.dropout(graphc.relu(L.dense(h, 4096, name="dense7")), name="drop7")
    return L.dense(h, 1000, name="dense8")


#: Layer, shape, parameters, multiply-adds: 60 million parameters, 0.7 billion multiply-adds.
ALEXNET = [
    ("conv1", (96, 55, 55), 96 * (11 * 11 * 3 + 1), 105_415_200),
    ("conv2", (256, 27, 27), 256 * (5 * 5 * 48 + 1), 223_948_800),
    ("conv3", (384, 13, 13), 384 * (3 * 3 * 256 + 1), 149_520_384),
    ("conv4", (384, 13, 13), 384 * (3 * 3 * 192 + 1), 112_140_288),
    ("conv5", (256, 13, 13), 256 * (3 * 3 * 192 + 1), 74_760_192),
    ("dense6", (4096,), 4096 * (6 * 6 * 256 + 1), 37_748_736),
    ("dense7", (4096,), 4096 * (4096 + 1), 16_777_216),
    ("dense8", (1000,), 1000 * (4096 + 1), 4_096_000),
]


@pytest.mark.parametrize(("name", "shape", "parameters", "products"), ALEXNET)
def test_memory_and_operations_of_a_layer_of_alexnet(name, shape, parameters, products):
    layer = graphc.count(alexnet())[name]
    units = math.prod(shape)
    assert layer.shape[1:] == shape
    assert layer.parameters == parameters
    assert layer.flops == 2 * products + units  # a multiply-add counts 2, and a bias for each unit
    assert layer.bytes == 4 * (units + parameters)


def test_the_rounded_columns_of_the_alexnet_table():
    count = graphc.count(alexnet())
    thousands = [count[name].parameters / 1e3 for name, *_ in ALEXNET]
    assert [round(k) for k in thousands] == [35, 307, 885, 664, 443, 37_753, 16_781, 4_097]
    millions = [(count[name].flops - math.prod(shape)) / 2e6 for name, shape, *_ in ALEXNET]
    assert [round(m) for m in millions] == [105, 224, 150, 112, 75, 38, 17, 4]
    assert count.parameters == 60_965_224
    assert sum(products for *_, products in ALEXNET) == 724_406_816
    assert [count[name].shape[1:] for name in ("pool1", "pool2", "pool5")] == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]
    units = 290_400 + 186_624 + 64_896 + 64_896 + 43_264 + 4096 + 4096 + 1000
    assert sum(count[name].activations for name, *_ in ALEXNET) == units == 659_272


def test_the_table_of_alexnet_prints_its_formulas():
    text = str(graphc.count(alexnet()))
    for formula in ("96·(11·11·3 + 1)", "256·(5·5·48 + 1)", "384·(3·3·256 + 1)", "4,096·(9,216 + 1)", "60,965,224"):
        assert formula in text
