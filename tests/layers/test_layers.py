"""Layers: shapes, parameters and values, compiled and in the reference, and what training changes."""

from __future__ import annotations

import numpy
import pytest

import graphc

L = graphc.layers
GENERATOR = numpy.random.default_rng(21)

#: Layer, shape of one example, shape of its result, parameters, how they come about.
CASES = {
    "conv1d": (lambda x: L.conv1d(x, 2, 3, name="a"), (4, 7), (2, 5), 26, "2·(3·4 + 1)"),
    "conv1d strided": (lambda x: L.conv1d(x, 4, 3, stride=2, groups=2, name="a"), (4, 8), (4, 3), 28, "4·(3·2 + 1)"),
    "conv2d grouped": (lambda x: L.conv2d(x, 6, 3, groups=3, name="a"), (3, 5, 6), (6, 3, 4), 60, "6·(3·3·1 + 1)"),
    "transposed": (
        lambda x: L.transposed_conv2d(x, 5, (3, 2), stride=2, name="a"), (3, 4, 3), (5, 9, 6), 95, "5·(3·2·3 + 1)",
    ),
    "transposed tiles": (
        lambda x: L.transposed_conv2d(x, 5, 2, stride=2, bias=False, name="a"), (3, 4, 3), (5, 8, 6), 60, "5·(2·2·3)",
    ),
    "locally connected": (
        lambda x: L.locally_connected2d(x, 2, 3, stride=2, padding=1, name="a"), (3, 5, 4), (2, 3, 2), 336,
        "12·(3·3·3 + 1)",
    ),
    "depthwise": (
        lambda x: L.depthwise_conv2d(x, 3, multiplier=2, name="a"), (3, 5, 4), (6, 3, 2), 60, "6·(3·3 + 1)",
    ),
    "depthwise no bias": (
        lambda x: L.depthwise_conv2d(x, (3, 2), padding=1, bias=False, name="a"), (4, 5, 4), (4, 5, 5), 24, "4·(3·2)",
    ),
    "batch norm": (lambda x: L.batch_norm(x, name="a"), (3, 4, 2), (3, 4, 2), 6, "2·3"),
    "layer norm": (lambda x: L.layer_norm(x, name="a"), (3, 4), (3, 4), 8, "2·4"),
    "layer norm of two axes": (lambda x: L.layer_norm(x, axes=2, name="a"), (3, 4), (3, 4), 24, "2·3·4"),
    "group norm": (lambda x: L.group_norm(x, 2, name="a"), (4, 3, 2), (4, 3, 2), 8, "2·4"),
    "dense": (lambda x: L.dense(x, 5, name="a"), (7,), (5,), 40, "5·(7 + 1)"),
    "dense on sequences": (lambda x: L.dense(x, 5, name="a"), (4, 7), (4, 5), 40, "5·(7 + 1)"),
    "dense without bias": (lambda x: L.dense(x, 5, bias=False, name="a"), (7,), (5,), 35, "5·7"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_layer_has_the_shape_and_parameters_that_its_formula_says(case):
    make, shape, result, parameters, formula = CASES[case]
    y = make(graphc.input("x", ("N", *shape)))
    assert y.shape[1:] == result
    count = graphc.count(y)
    assert count.parameters == parameters
    assert count["a"].formula == formula
    assert y.name == "a"


@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_compiled_as_the_reference_says(case):
    make, shape, *_ = CASES[case]
    y = make(graphc.input("x", ("N", *shape)))
    loss = graphc.sum(y * y * y)
    x = GENERATOR.normal(size=(3, *shape))
    step = graphc.compile([loss, y], gradients=True, dtype="float64")
    run = graphc.backward(loss).at(x=x, parameters=step.parameters)
    (value, result), gradients = step(x=x)
    assert value == pytest.approx(float(run.value(loss)), rel=1e-10)
    assert result == pytest.approx(run.value(y), rel=1e-10, abs=1e-12)
    assert len(gradients) == len(step.parameters) > 0
    for name, gradient in gradients.items():
        assert gradient == pytest.approx(run.grad(name), rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda x, w: L.conv1d(x, 4, 3, padding=1, name=w[0], weight=w[1]), (4, 6)),
        (lambda x, w: L.conv2d(x, 4, 3, padding=1, name=w[0], weight=w[1]), (4, 5, 5)),
        (lambda x, w: L.transposed_conv2d(x, 4, 3, padding=1, name=w[0], weight=w[1]), (4, 5, 5)),
        (lambda x, w: L.depthwise_conv2d(x, 3, padding=1, name=w[0], weight=w[1]), (4, 5, 5)),
        (lambda x, w: L.locally_connected2d(x, 4, 3, padding=1, name=w[0], weight=w[1]), (4, 5, 5)),
        (lambda x, w: L.dense(x, 4, name=w[0], weight=w[1]), (4,)),
        (lambda x, w: L.maxout(x, 4, name=w[0], weight=w[1]), (4,)),
        (lambda x, w: L.batch_norm(x, name=w[0], weight=w[1]), (4, 5)),
        (lambda x, w: L.layer_norm(x, name=w[0], weight=w[1]), (4,)),
        (lambda x, w: L.group_norm(x, 2, name=w[0], weight=w[1]), (4,)),
    ],
    ids=[
        "conv1d",
        "conv2d",
        "transposed",
        "depthwise",
        "local",
        "dense",
        "maxout",
        "batch norm",
        "layer norm",
        "group norm",
    ],
)
def test_a_weight_is_shared_by_two_layers(make, shape):
    x = graphc.input("x", ("N", *shape))
    alone = make(x, ("one", None))
    (weight,) = [n for n in graphc.graph.topological([alone]) if n.kind == "parameter" and "bias" not in n.label]
    both = make(alone, ("two", weight))
    assert graphc.count(both).parameters < 2 * graphc.count(alone).parameters
    loss = graphc.sum(both * both)
    data = GENERATOR.normal(size=(3, *shape))
    step = graphc.compile([loss], gradients=True, dtype="float64")
    gradient = step(x=data)[1][weight.label]
    run = graphc.backward(loss).at(x=data, parameters=step.parameters)
    assert gradient == pytest.approx(run.grad(weight.label), rel=1e-9, abs=1e-9)


# ---- initial values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape", "inputs"),
    [
        (lambda x: L.conv1d(x, 200, 3, name="a"), (20, 5), 60),
        (lambda x: L.transposed_conv2d(x, 200, 3, name="a"), (20, 3, 3), 180),
        (lambda x: L.depthwise_conv2d(x, 3, multiplier=10, name="a"), (200, 3, 3), 9),
        (lambda x: L.locally_connected2d(x, 20, 3, name="a"), (10, 5, 5), 90),
        (lambda x: L.maxout(x, 100, name="a"), (50,), 50),
    ],
    ids=["conv1d", "transposed", "depthwise", "locally connected", "maxout"],
)
def test_he_counts_the_inputs_of_one_unit(make, shape, inputs):
    parameters = graphc.compile([make(graphc.input("x", ("N", *shape)))], seed=3).parameters
    (weight,) = [value for name, value in parameters.items() if name.endswith("weight")]
    assert weight.std() == pytest.approx(numpy.sqrt(2 / inputs), rel=0.05)


def test_an_array_is_taken_as_the_initial_weight_as_it_is():
    values = GENERATOR.normal(size=(2, 3, 2, 2))
    y = L.transposed_conv2d(graphc.input("x", ("N", 2, 3, 3)), 3, 2, name="a", initial=values)
    assert numpy.array_equal(graphc.compile([y], dtype="float64").parameters["a.weight"], values)


def test_places_of_a_locally_connected_layer_start_with_different_weights():
    y = L.locally_connected2d(graphc.input("x", ("N", 1, 4, 4)), 2, 3, name="a", initial=graphc.orthogonal())
    weight = graphc.compile([y], dtype="float64").parameters["a.weight"]
    assert weight.shape == (2, 2, 2, 1, 3, 3)
    for place in weight.reshape(4, 2, 9):
        assert place @ place.T == pytest.approx(numpy.eye(2), abs=1e-12)
    assert len({float(place[0, 0]) for place in weight.reshape(4, 2, 9)}) == 4


# ---- values of layers that a convolution or NumPy can say ---------------------------------------------


def value_of(y: graphc.Node, x: numpy.ndarray, **parameters: numpy.ndarray) -> numpy.ndarray:
    step = graphc.compile([y], dtype="float64")
    for name, value in parameters.items():
        step.parameters[name.replace("__", ".")][...] = value
    return step(x=x)[0]


def test_a_separable_convolution_is_a_convolution_whose_filters_are_products():
    x = GENERATOR.normal(size=(2, 3, 6, 5))
    deep, point = GENERATOR.normal(size=(3, 2, 3, 3)), GENERATOR.normal(size=(4, 6, 1, 1))
    y = L.separable_conv2d(graphc.input("x", ("N", 3, 6, 5)), 4, 3, multiplier=2, name="a", padding=1)
    found = value_of(y, x, a__depthwise__weight=deep, a__pointwise__weight=point)
    filters = numpy.einsum("kcm,cmrs->kcrs", point.reshape(4, 3, 2), deep)
    whole = L.conv2d(graphc.input("x", ("N", 3, 6, 5)), 4, 3, padding=1, name="b", initial=filters)
    assert found == pytest.approx(value_of(whole, x), rel=1e-12)
    assert graphc.count(y).parameters == 3 * 2 * 9 + 4 * (6 + 1)
    assert graphc.count(whole).parameters == 4 * (27 + 1)


def test_a_locally_connected_layer_with_tied_weights_is_a_convolution():
    x, filters = GENERATOR.normal(size=(2, 3, 5, 5)), GENERATOR.normal(size=(4, 3, 3, 3))
    tied = numpy.broadcast_to(filters, (3, 3, *filters.shape))
    local = L.locally_connected2d(graphc.input("x", ("N", 3, 5, 5)), 4, 3, name="a", initial=tied)
    conv = L.conv2d(graphc.input("x", ("N", 3, 5, 5)), 4, 3, name="b", initial=filters)
    assert value_of(local, x) == pytest.approx(value_of(conv, x), rel=1e-12)


def test_a_transposed_convolution_is_the_transpose_of_the_convolution():
    weight = graphc.parameter("w", (4, 3, 3, 2), initial=GENERATOR.normal(size=(4, 3, 3, 2)))
    x = graphc.input("x", ("N", 3, 8, 7))
    conv = graphc.conv2d(x, weight, stride=(2, 3), padding=1)
    back = L.transposed_conv2d(
        graphc.input("y", conv.shape), 3, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 1), bias=False,
        name="t", weight=weight,
    )  # fmt: skip
    assert back.shape == x.shape
    matrix = graphc.toeplitz(conv).matrix(weight.initial)
    y = GENERATOR.normal(size=(2, *conv.shape[1:]))
    found = graphc.compile([back], dtype="float64")(y=y)[0]
    assert found.reshape(2, -1) == pytest.approx(y.reshape(2, -1) @ matrix, rel=1e-12)


def test_an_embedding_is_the_product_with_one_hot_rows():
    token = graphc.input("token", ("N", 3), dtype="int32")
    y = L.embedding(token, 5, 4, name="words")
    step = graphc.compile([y], dtype="float64")
    tokens = numpy.array([[0, 4, 4], [2, 1, 0]])
    weight = step.parameters["words.weight"]
    assert numpy.array_equal(step(token=tokens)[0], numpy.eye(5)[tokens] @ weight)
    assert graphc.count(y)["words"].formula == "5·4"
    shared = L.embedding(token, 5, 4, name="again", weight=y.operands[0])
    assert graphc.count(shared + y).parameters == 20


def test_a_maxout_layer_is_the_larger_of_two_linear_functions():
    y = L.maxout(graphc.input("x", ("N", 3)), 2, name="a")
    x = GENERATOR.normal(size=(5, 3))
    w, b = GENERATOR.normal(size=(4, 3)), GENERATOR.normal(size=4)
    linear = x @ w.T + b
    expected = numpy.maximum(linear[:, 0::2], linear[:, 1::2])  # neighbours belong together
    assert value_of(y, x, a__linear__weight=w, a__linear__bias=b) == pytest.approx(expected, rel=1e-12)


# ---- batch norm ---------------------------------------------------------------------------------------


def test_batch_norm_uses_the_batch_in_training_and_running_statistics_in_use():
    y = L.batch_norm(graphc.input("x", ("N", 3, 4)), name="norm", epsilon=0.1)
    step = graphc.compile([y], dtype="float64", training=True)
    mean, variance = numpy.zeros(3), numpy.ones(3)
    gain, bias = numpy.array([1.0, 2.0, -1.0]), numpy.array([0.5, 0.0, 1.0])
    step.parameters["norm.gain"][...], step.parameters["norm.bias"][...] = gain, bias
    for _ in range(4):
        x = GENERATOR.normal(2.0, 3.0, size=(5, 3, 4))
        m, v = x.mean((0, 2)), x.var((0, 2))
        expected = (x - m[:, None]) / numpy.sqrt(v[:, None] + 0.1) * gain[:, None] + bias[:, None]
        assert step(x=x)[0] == pytest.approx(expected, rel=1e-10)
        mean, variance = 0.9 * mean + 0.1 * m, 0.9 * variance + 0.1 * x.var((0, 2), ddof=1)
        assert step.states["norm.mean"] == pytest.approx(mean, rel=1e-12)
        assert step.states["norm.variance"] == pytest.approx(variance, rel=1e-12)
    use = graphc.compile([y], dtype="float64", training=False, parameters={**step.parameters, **step.states})
    x = GENERATOR.normal(size=(1, 3, 4))
    expected = (x - mean[:, None]) / numpy.sqrt(variance[:, None] + 0.1) * gain[:, None] + bias[:, None]
    assert use(x=x)[0] == pytest.approx(expected, rel=1e-10)
    assert use.states["norm.mean"] == pytest.approx(mean, rel=1e-12)  # use does not move them


def test_batch_norm_of_one_element_for_each_channel_stays_finite():
    y = L.batch_norm(graphc.input("x", ("N", 2)), name="norm")
    step = graphc.compile([y], dtype="float64")
    assert step(x=[[3.0, -1.0]])[0].tolist() == [[0.0, 0.0]]
    assert step.states["norm.variance"].tolist() == [0.9, 0.9]


def test_the_reference_takes_the_branch_that_training_says():
    x = graphc.input("x", ("N", 2))
    y = L.batch_norm(x, name="norm", epsilon=1e-12)
    back, data = graphc.backward(graphc.sum(y)), [[1.0, 2.0], [3.0, 6.0]]
    values = {"norm.gain": numpy.ones(2), "norm.bias": numpy.zeros(2)}
    values |= {"norm.mean": numpy.array([1.0, 0.0]), "norm.variance": numpy.array([4.0, 1.0])}
    assert back.at({"x": data, **values}).value(y) == pytest.approx(numpy.array([[-1.0, -1], [1, 1]]))
    used = back.at({"x": data, "training": 0, **values}).value(y)
    assert used == pytest.approx(numpy.array([[0.0, 2], [1, 6]]))


def test_a_trained_batch_norm_is_saved_with_its_statistics(tmp_path):
    x, t = graphc.input("x", ("N", 4)), graphc.input("t", ("N", 1))
    y = L.dense(graphc.relu(L.batch_norm(L.dense(x, 6, name="one"), name="norm")), 1, name="two").named("y")
    trainer = graphc.Trainer(graphc.mean((y - t) ** 2), optimizer=graphc.SGD(0.05), seed=0)
    data = {"x": GENERATOR.normal(size=(40, 4)), "t": GENERATOR.normal(size=(40, 1))}
    trainer.fit(data, batch_size=10, epochs=3)
    again = graphc.Trainer.load(trainer.save(tmp_path / "run.graphc"))
    assert numpy.array_equal(again.states["norm.mean"], trainer.states["norm.mean"])
    assert numpy.abs(trainer.states["norm.mean"]).max() > 0
    assert numpy.array_equal(again.predict("y", x=data["x"][:3]), trainer.predict("y", x=data["x"][:3]))


@pytest.mark.parametrize("momentum", [-0.1, 1.1, "0.9", True])
def test_a_momentum_that_is_no_share_is_refused(momentum):
    with pytest.raises(graphc.GraphcError, match="momentum"):
        L.batch_norm(graphc.input("x", ("N", 2)), name="norm", momentum=momentum)


# ---- dropout ------------------------------------------------------------------------------------------


def test_dropout_is_the_identity_in_use_and_drops_in_training():
    x = graphc.input("x", ("N", 50))
    y = L.dropout(x, 0.3, name="drop")
    data = GENERATOR.uniform(1, 2, size=(40, 50))
    assert numpy.array_equal(graphc.compile([y], dtype="float64", training=False)(x=data)[0], data)
    step = graphc.compile([y], dtype="float64", training=True, seed=5)
    first, second = step(x=data)[0].copy(), step(x=data)[0].copy()
    for found in (first, second):
        kept = found != 0
        assert 0.65 < kept.mean() < 0.75
        assert found[kept] == pytest.approx(data[kept] / 0.7, rel=1e-12)
    both = ((first != 0) & (second != 0)).mean()
    assert 0.44 < both < 0.54  # another step drops others, independently: 0.7 * 0.7
    assert step.states["drop.key"][1] == 2


def test_dropout_depends_on_seed_and_name_and_repeats():
    x = graphc.input("x", (200,))
    data = numpy.ones(200)

    def dropped(seed: int, name: str) -> numpy.ndarray:
        return graphc.compile([L.dropout(x, name=name)], seed=seed)(x=data)[0] == 0

    assert numpy.array_equal(dropped(1, "a"), dropped(1, "a"))
    assert not numpy.array_equal(dropped(1, "a"), dropped(2, "a"))
    assert not numpy.array_equal(dropped(1, "a"), dropped(1, "b"))
    key = graphc.compile([L.dropout(x, name="a")], seed=1).states["a.key"]
    assert 0 <= key[0] < 2**24
    assert key[1] == 0


def test_spatial_dropout_drops_whole_channels():
    y = L.spatial_dropout(graphc.input("x", ("N", 8, 3, 2)), name="drop")
    found = graphc.compile([y], dtype="float64", seed=2)(x=numpy.ones((30, 8, 3, 2)))[0].reshape(240, 6)
    assert set(found.ravel()) == {0.0, 2.0}
    assert (found == found[:, :1]).all()
    assert 0.4 < (found[:, 0] == 0).mean() < 0.6


def test_the_gradient_passes_where_the_value_passed():
    y = L.dropout(graphc.input("x", (100,)), name="drop")
    step = graphc.compile([graphc.sum(y), y], gradients=["x"], dtype="float64", seed=4)
    (_, value), gradients = step(x=numpy.ones(100))
    assert numpy.array_equal(gradients["x"], value)


# ---- blocks -------------------------------------------------------------------------------------------


def image(*shape: int) -> graphc.Node:
    return graphc.input("x", ("N", *shape))


def test_a_residual_block_adds_its_input():
    x = image(3, 5, 5)
    y = L.residual(x, lambda x: L.conv2d(x, 3, 3, padding=1, name="a", initial=graphc.zeros()))
    data = GENERATOR.normal(size=(2, 3, 5, 5))
    assert numpy.array_equal(value_of(y, data), data)  # the branch starts at 0, the block at the identity
    run = graphc.backward(graphc.sum(y)).at(x=data, parameters=graphc.compile([y]).parameters)
    assert (run.grad("x") == 1).all()  # the gradient passes beside the branch


def test_a_residual_block_that_changes_the_shape_needs_a_projection():
    x = image(3, 7, 7)

    def branch(x: graphc.Node) -> graphc.Node:
        return L.conv2d(x, 6, 3, stride=2, padding=1, name="a")

    with pytest.raises(graphc.ShapeError, match="projection") as error:
        L.residual(x, branch)
    assert "(N, 6, 4, 4)" in str(error.value)
    y = L.residual(x, branch, projection=lambda x: L.conv2d(x, 6, 1, stride=2, bias=False, name="beside"))
    assert y.shape[1:] == (6, 4, 4)


def test_branches_stand_side_by_side():
    y = L.branches(image(3, 4, 4), [lambda x: x, lambda x: 2 * x, graphc.relu])
    data = GENERATOR.normal(size=(2, 3, 4, 4))
    expected = numpy.concatenate([data, 2 * data, numpy.maximum(data, 0)], axis=1)
    assert numpy.array_equal(value_of(y, data), expected)


def test_the_first_inception_module_has_the_size_that_its_paper_says():
    y = L.inception(image(192, 28, 28), 64, (96, 128), (16, 32), 32, name="3a")
    assert y.shape[1:] == (256, 28, 28)
    weights = 192 * 64 + 192 * 96 + 96 * 128 * 9 + 192 * 16 + 16 * 32 * 25 + 192 * 32
    assert graphc.count(y).parameters == weights + 64 + 96 + 128 + 16 + 32 + 32 == 163_696  # 159 K in the table: / 1024


def test_each_layer_of_a_dense_block_sees_all_earlier_maps():
    y = L.dense_block(image(4, 5, 5), 3, 2, name="block")
    assert y.shape[1:] == (4 + 3 * 2, 5, 5)
    count = graphc.count(y)
    assert [count[f"block.{k}.conv"].parameters for k in (1, 2, 3)] == [2 * 9 * c for c in (4, 6, 8)]
    data = GENERATOR.normal(size=(2, 4, 5, 5))
    assert numpy.array_equal(value_of(y, data)[:, :4], data)  # the input itself comes through
    thin = L.dense_block(image(4, 5, 5), 1, 2, name="block", bottleneck=True)
    assert graphc.count(thin)["block.1.thin"].formula == "8·(1·1·4)"


def test_squeeze_and_excitation_scales_whole_channels():
    y = L.squeeze_excitation(image(8, 3, 3), 4, name="se")
    data = GENERATOR.normal(size=(2, 8, 3, 3))
    share = value_of(y, data) / data
    assert share == pytest.approx(numpy.broadcast_to(share[..., :1, :1], share.shape), rel=1e-12)
    assert ((share > 0) & (share < 1)).all()
    assert graphc.count(y).parameters == 2 * (8 + 1) + 8 * (2 + 1)


def test_a_fire_module_has_the_size_that_its_paper_says():
    y = L.fire(image(96, 55, 55), 16, 64, 64, name="fire2")
    assert y.shape[1:] == (128, 55, 55)
    assert graphc.count(y).parameters == 11_920  # table 1 of the paper


BLOCKS = {
    "residual": lambda x: L.residual(x, lambda x: L.conv2d(x, 4, 3, padding=1, name="a")),
    "inception": lambda x: L.inception(x, 2, (2, 3), (1, 2), 2, name="a"),
    "dense block": lambda x: L.dense_block(x, 2, 2, name="a", bottleneck=True),
    "squeeze": lambda x: L.squeeze_excitation(x, 2, name="a"),
    "fire": lambda x: L.fire(x, 2, 2, 3, name="a"),
    "separable": lambda x: L.separable_conv2d(x, 3, 3, name="a"),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_compiled_as_the_reference_says(block):
    y = BLOCKS[block](image(4, 5, 4))
    loss = graphc.sum(y * y)
    x = GENERATOR.normal(size=(2, 4, 5, 4))
    step = graphc.compile([loss], gradients=True, dtype="float64")
    run = graphc.backward(loss).at(x=x, parameters={**step.parameters, **step.states})
    (value,), gradients = step(x=x)
    assert value == pytest.approx(float(run.value(loss)), rel=1e-10)
    for name, gradient in gradients.items():
        assert gradient == pytest.approx(run.grad(name), rel=1e-8, abs=1e-9), name


# ---- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: L.conv1d(image(3, 4, 4), 2, 3, name="a"), ["conv1d 'a'", "(N, C, W)", "(N, 3, 4, 4)"]),
        (lambda: L.transposed_conv2d(graphc.input("x", ("N", "C", 4, 4)), 2, 3, name="a"), ["'a'", "(N, C, 4, 4)"]),
        (lambda: L.depthwise_conv2d(image(3), 3, name="a"), ["depthwise_conv2d 'a'", "images"]),
        (lambda: L.depthwise_conv2d(image(3, 4, 4), 3, multiplier=0, name="a"), ["multiplier=0"]),
        (
            lambda: L.locally_connected2d(graphc.input("x", ("N", 1, "H", 4)), 2, 3, name="a"),
            ["numbers", "(N, 1, H, 4)"],
        ),
        (lambda: L.locally_connected2d(image(1, 4, 4), 2, 3, stride=0, name="a"), ["stride=0"]),
        (lambda: L.locally_connected2d(image(1, 4, 4), 2, 5, name="a"), ["window"]),
        (lambda: L.batch_norm(graphc.input("x", ("N", "C")), name="a"), ["batch_norm 'a'", "(N, C)"]),
        (lambda: L.layer_norm(image(3), axes=2, name="a"), ["layer_norm 'a'", "(N, 3)"]),
        (lambda: L.group_norm(image(4, 2), 3, name="a"), ["groups=3", "4"]),
        (lambda: L.dense(image(3, 4, 4), 2, name="a"), ["dense 'a'", "graphc.flatten"]),
        (lambda: L.dropout(image(3), 1.0, name="a"), ["rate", "1.0"]),
        (lambda: L.embedding(image(3), 5, 2, name="a"), ["embedding", "integers"]),
        (lambda: L.squeeze_excitation(image(3), name="a"), ["squeeze_excitation 'a'", "images"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_where_the_user_wrote_it(call, words):
    with pytest.raises(graphc.ShapeError) as error:
        call()
    for word in (*words, "test_layers.py"):
        assert word in str(error.value)
