"""Counting: the figures of the lectures, and sizes that stay names."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.formula.expression import Number, fold
from graphc.formula.parser import parse_expression


def lenet() -> graphc.Node:
    image = graphc.input("image", ("N", 1, 28, 28))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 6, 5, padding="same", name="conv1")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.layers.conv2d(h, 16, 5, name="conv2")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 120, name="dense1"))
    h = graphc.relu(graphc.layers.dense(h, 84, name="dense2"))
    scores = graphc.layers.dense(h, 10, name="scores")
    return graphc.softmax_cross_entropy(scores, label).named("loss")


def test_parameters_of_lenet_are_those_of_the_table():
    count = graphc.count(lenet())
    by_layer = {layer.name: layer.parameters for layer in count if layer.parameters}
    assert by_layer == {"conv1": 156, "conv2": 2416, "dense1": 48120, "dense2": 10164, "scores": 850}
    assert count.parameters == 61706
    assert count["conv1"].formula == "6·(5·5·1 + 1)"
    assert count["dense1"].formula == "120·(400 + 1)"


def test_activations_flop_and_bytes_are_for_one_example():
    count = graphc.count(lenet())
    conv1, pool = count["conv1"], count["max_pool2d_1"]
    assert conv1.kind == "conv2d"
    assert conv1.activations == 6 * 28 * 28
    assert conv1.flops == 2 * 6 * 28 * 28 * 25 + 6 * 28 * 28  # products and sums, then the bias
    assert conv1.bytes == 4 * (6 * 28 * 28 + 156)
    assert pool.activations == 6 * 14 * 14
    assert pool.flops == 6 * 28 * 28  # a comparison for each element of each window
    assert count["scores"].flops == 2 * 84 * 10 + 10
    assert count.flops == sum(layer.flops for layer in count)
    assert count.bytes == sum(layer.bytes for layer in count)


def test_a_batch_multiplies_everything_but_the_parameters():
    one, many = graphc.count(lenet()), graphc.count(lenet(), N=64)
    assert many.parameters == one.parameters
    assert many["conv2"].activations == 64 * one["conv2"].activations
    assert many["conv2"].flops == 64 * one["conv2"].flops
    assert many["conv2"].bytes == 64 * 4 * 1600 + 4 * 2416


def test_twenty_maps_of_five_by_five_by_three_have_1500_weights():
    image = graphc.input("image", ("N", 3, 200, 200))
    maps = graphc.layers.conv2d(image, 20, 5, padding="full", bias=False, name="maps")
    count = graphc.count(maps)
    assert count["maps"].parameters == 1500
    assert count["maps"].formula == "20·(5·5·3)"
    assert count["maps"].activations == 832_320  # 204 x 204 x 20 neurons


def test_the_slip_of_a_deck_is_exposed():
    # printed: "200 x 200 x 3 to 40,000 units = 4,800,000"
    image = graphc.input("image", ("N", 3, 200, 200))
    dense = graphc.layers.dense(graphc.flatten(image), 40_000, bias=False, initial=numpy.zeros(()), name="dense")
    assert graphc.count(dense).parameters == 4_800_000_000
    small = graphc.layers.dense(graphc.input("x", ("N", 256 * 256)), 1000, bias=False, name="dense")
    assert graphc.count(small).parameters == 65_536_000


def test_first_layer_of_alexnet_costs_what_the_table_says():
    image = graphc.input("image", ("N", 3, 227, 227))
    conv1 = graphc.layers.conv2d(image, 96, 11, stride=4, name="conv1")
    layer = graphc.count(conv1)["conv1"]
    assert layer.shape[1:] == (96, 55, 55)
    assert layer.parameters == 34_944  # 35 K in the table
    assert layer.flops // 2 == 105_415_200 + 290_400 // 2  # 105 M multiply-adds, and the bias


def test_sizes_other_than_the_batch_stay_names():
    x = graphc.input("x", ("T", "N", 3))
    count = graphc.count(graphc.tanh(x).named("y"))
    assert str(count["y"].activations) == "3*T"
    assert "3 T" in str(count)
    assert graphc.count(graphc.tanh(x).named("y"), T=5)["y"].activations == 15


def test_a_shared_parameter_counts_once_and_graphs_without_layers_have_rows():
    x = graphc.input("x", ("N", 4))
    w = graphc.parameter("shared.weight", (4, 4))
    y = graphc.layers.dense(x, 4, weight=w, bias=False, name="one")
    z = graphc.layers.dense(y, 4, weight=w, bias=False, name="two")
    assert graphc.count(z).parameters == 16
    a, b = graphc.inputs("a b")
    count = graphc.count((a + b).named("q") * b)
    assert [layer.name for layer in count] == ["a", "b", "q", "mul_1"]
    assert count.flops == 2


def test_the_table_lines_up_and_ends_with_totals():
    lines = str(graphc.count(lenet())).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "activations", "parameters", "FLOP", "bytes"]
    total = next(line for line in lines if line.startswith("total"))
    assert "61,706" in total
    assert "N = 1" in lines[-1]
    columns = [line.find("61,706") + 6 for line in lines if "61,706" in line]
    assert all(line[: columns[0]].rstrip().endswith("156") for line in lines if line.startswith("conv1"))


def test_counting_2000_layers_is_quick_enough():
    import time

    h = graphc.input("x", ("N", 3))
    for _ in range(2000):
        h = graphc.relu(h)
    start = time.perf_counter()
    assert len(graphc.count(h)) == 2001
    assert time.perf_counter() - start < 10.0  # linear takes 0.1 s; quadratic would take minutes


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: graphc.count("loss"), ["a node", "str"]),
        (lambda: graphc.count(lenet(), M=3), ["'M'", "N"]),
        (lambda: graphc.count(lenet(), N=-1), ["N", "-1"]),
        (lambda: graphc.count(lenet(), N=1.5), ["N", "1.5"]),
        (lambda: graphc.count(lenet())["conv3"], ["'conv3'", "did you mean", "conv"]),
    ],
)
def test_what_cannot_be_counted_is_refused(call, words):
    with pytest.raises(graphc.GraphcError) as error:
        call()
    for word in words:
        assert word in str(error.value)


def test_training_counts_where_training_and_use_differ_and_states_are_no_activations():
    x = graphc.input("x", ("N", 8, 4, 4))
    count = graphc.count(graphc.layers.dropout(graphc.layers.batch_norm(x, name="norm"), name="drop"))
    assert [layer.name for layer in count] == ["x", "norm", "drop"]
    norm = count["norm"]
    assert (norm.kind, norm.formula, norm.parameters, norm.activations) == ("batch_norm", "2·8", 16, 128)
    assert norm.bytes == 4 * (128 + 16)
    # mean, variance, and x less mean, over root of variance plus epsilon, times gain plus bias: 2 + 4 + 6
    assert norm.flops == 12 * 128
    assert count["drop"].kind == "dropout"
    assert count["drop"].activations == 128
    assert count.activations == 3 * 128


def test_formulas_say_what_a_unit_sums_over():
    layers = graphc.layers
    image = graphc.input("image", ("N", 16, 9, 9))
    token = graphc.input("token", ("N", 7), dtype="int32")
    found = {
        "grouped": layers.conv2d(image, 32, 3, groups=4, name="a"),
        "depthwise": layers.depthwise_conv2d(image, 3, multiplier=2, name="a"),
        "local": layers.locally_connected2d(image, 2, 3, name="a"),
        "embedding": layers.embedding(token, 8000, 300, name="a"),
        "batch norm": layers.batch_norm(image, name="a"),
        "layer norm": layers.layer_norm(image, name="a"),
        "sequence": layers.dense(graphc.input("x", ("N", 7, 20)), 10, name="a"),
    }
    assert {name: graphc.count(node)["a"].formula for name, node in found.items()} == {
        "grouped": "32·(3·3·4 + 1)",
        "depthwise": "32·(3·3 + 1)",
        "local": "98·(3·3·16 + 1)",
        "embedding": "8,000·300",
        "batch norm": "2·16",
        "layer norm": "2·9",
        "sequence": "10·(20 + 1)",
    }
    for name, node in found.items():
        layer = graphc.count(node)["a"]
        formula = layer.formula.replace("·", "*").replace(",", "")
        assert fold(parse_expression(formula)) == Number(layer.parameters), name


def test_parameters_of_a_product_declared_by_hand():
    x = graphc.input("x", ("N", 7))
    y = x @ graphc.parameter("p.weight", (7, 5)) + graphc.parameter("p.bias", (5,))
    assert graphc.count(y)["p"].formula == "5·(7 + 1)"
