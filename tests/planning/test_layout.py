"""Layout: tensors lie in the frames that convolutions read, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

import graphc
from graphc.formula.expression import Symbol
from graphc.planning import Plan, Target, plan
from tests.planning.interpreter import Interpreter
from tests.planning.test_fusion import judged, values_of

IMAGE = graphc.input("x", ("N", 3, 8, 8))


def convolution(x: graphc.Node, name: str, maps: int, stride: int = 1, size: int = 3) -> graphc.Node:
    channels = x.shape[1]
    weight = graphc.parameter(name, (maps, channels, size, size))
    return graphc.conv2d(x, weight, stride=stride, padding=size // 2)


def normed(x: graphc.Node, name: str) -> graphc.Node:
    gain, bias = (graphc.parameter(f"{name}.{part}", (x.shape[1],)) for part in ("gain", "bias"))
    return graphc.batch_norm(x, gain, bias)


def copies(planned: Plan) -> list[str]:
    """Labels of launches that do nothing but copy a tensor that another launch has computed, with guards."""
    found = []
    for launch in planned.launches:
        statement = planned.kernels[launch.kernel].statement
        if statement is None or not statement.guards or not isinstance(statement.body, Symbol):
            continue
        sources = [planned.buffers[number] for number in launch.buffers[1:]]
        found += [launch.label] if all(source.role == "arena" for source in sources) else []
    return found


def plain(x: graphc.Node) -> graphc.Node:
    h = graphc.relu(convolution(x, "a", 5) + graphc.parameter("bias", (5, 1, 1)))
    h = graphc.relu(convolution(h, "b", 5) * 2.0)
    return convolution(h, "c", 3)


def blocks(x: graphc.Node) -> graphc.Node:
    h = graphc.relu(normed(convolution(x, "a", 4), "an"))
    for k in range(2):
        beside = graphc.relu(normed(convolution(h, f"b{k}", 4), f"bn{k}"))
        h = graphc.relu(normed(convolution(beside, f"c{k}", 4), f"cn{k}") + h)
    return h


def residual(x: graphc.Node) -> graphc.Node:
    h = blocks(x)
    beside = graphc.relu(normed(convolution(h, "d", 6, stride=2), "dn"))
    return graphc.relu(normed(convolution(beside, "e", 6), "en") + convolution(h, "f", 6, stride=2, size=1))


def dense(x: graphc.Node) -> graphc.Node:
    """Every layer reads all before it, in frames of two widths."""
    h = graphc.relu(convolution(x, "a", 4))
    return convolution(h, "b", 4) + convolution(h, "c", 4, size=5) + convolution(graphc.relu(h), "d", 4)


def pooled(x: graphc.Node) -> graphc.Node:
    h = graphc.max_pool2d(graphc.relu(convolution(x, "a", 4)), 2)
    return convolution(graphc.relu(convolution(h, "b", 4)), "c", 4)


def other_activations(x: graphc.Node) -> graphc.Node:
    h = graphc.tanh(convolution(x, "a", 4))
    h = graphc.sigmoid(convolution(h, "b", 4))
    h = graphc.leaky_relu(convolution(h, "c", 4))
    return convolution(h, "d", 4)


NETWORKS = [plain, blocks, residual, dense, pooled, other_activations]


@pytest.mark.parametrize("lanes", [16, 4])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_compute_the_same_in_frames(network, lanes):
    judged(graphc.mean(network(IMAGE) ** 2), target=Target(lanes=lanes))


@pytest.mark.parametrize("layouts", [(), ("pooling",), ("correlation_of_maps", "correlation_by_tiles")])
def test_kernels_that_know_no_frames_see_whole_tensors(layouts):
    network = graphc.max_pool2d(graphc.relu(convolution(IMAGE, "a", 8)), 2)
    network = convolution(graphc.relu(convolution(network, "b", 16)), "c", 8)
    _, planned = judged(graphc.mean(network**2), target=Target(layouts=frozenset(layouts)))
    framed = [buffer.name.count("framed") for buffer in planned.buffers]
    for launch in planned.launches:
        kind = planned.kernels[launch.kernel].kind
        if kind.startswith("correlation_"):
            assert not framed[launch.buffers[1]] or kind in layouts
        elif kind == "pooling":
            assert not framed[launch.buffers[-1]] or kind in layouts
    assert any(framed[launch.buffers[-1]] for launch in planned.launches if "max_pool" in launch.label) == (
        "pooling" in layouts
    )


def training(network: Callable[[graphc.Node], graphc.Node]) -> Plan:
    loss = graphc.mean(network(IMAGE) ** 2)
    back = graphc.backward(loss)
    return plan([loss], {node.label: back.grad(node) for node in back.wrt})[0]


def forward(planned: Plan) -> list[int]:
    """Results of the convolutions of the forward pass."""
    launches = [launch for launch in planned.launches if ".d" not in launch.label]
    return [k.buffers[-1] for k in launches if planned.kernels[k.kernel].kind.startswith("convolution")]


@pytest.mark.parametrize("network", [plain, blocks])
def test_nothing_is_copied_into_a_frame_that_could_be_computed_there(network):
    assert copies(training(network)) == []


def test_what_a_caller_reads_is_whole():
    seen = graphc.relu(convolution(IMAGE, "a", 4))
    planned, _ = plan([convolution(seen, "b", 4), seen])
    assert planned.buffers[planned.outputs[1]].shape[1:] == (4, 8, 8)
    assert len(copies(planned)) == 1


def test_masks_ask_results_where_operands_would_be_kept_for_nothing_else():
    planned = training(plain)
    first = forward(planned)[0]
    assert sum(first in launch.buffers[:-1] for launch in planned.launches) == 1
    # what a norm was given is read again in any case: there the mask is computed from it, in the same pass
    planned = training(residual)
    first = forward(planned)[0]
    assert any("relu.dx" in launch.label and first in launch.buffers for launch in planned.launches)


def test_sums_of_what_is_read_twice_are_planned_in_linear_time():
    """Sixty times ``h + tanh(h)`` before a ReLU are 2**60 paths, and sixty tensors."""
    h = convolution(IMAGE, "a", 4)
    for _ in range(60):
        h = h + graphc.tanh(h)
    planned, _ = plan([graphc.mean(convolution(graphc.relu(h), "b", 4) ** 2)])
    assert planned.launches
    loss = graphc.mean(convolution(graphc.relu(h), "b", 4) ** 2)
    back = graphc.backward(loss)
    assert plan([loss], {node.label: back.grad(node) for node in back.wrt})[0].launches


def test_a_mask_finds_no_number_where_its_operand_is_none():
    loss = graphc.sum(plain(IMAGE))
    back = graphc.backward(loss)
    names = {node.label: value for node, value in values_of([loss], 2, 3).items()}
    names["x"][0, 0, 1, 1] = numpy.nan
    found = []
    for fuse in (False, True):
        gradients = {node.label: back.grad(node) for node in back.wrt}
        planned, leaves = plan([loss], gradients, dtype="float64", fuse=fuse)
        machine = Interpreter(planned, leaves, names, {"N": 2})
        machine.run()
        found.append([numpy.isnan(machine.array(number)) for number in planned.gradients.values()])
    assert any(array.any() for array in found[0])
    for one, other in zip(*found, strict=True):
        numpy.testing.assert_array_equal(one, other)


def drawn(seed: int) -> graphc.Node:
    """A network of convolutions of any kind, whose results are added, scaled, masked, pooled and normed."""
    draw = numpy.random.default_rng(seed)
    rows, columns = (int(draw.choice((6, 8, 9))) for _ in range(2))
    pool = [graphc.input("x", ("N", 2, rows, columns))]
    for k in range(int(draw.integers(4, 10))):
        h = pool[int(draw.integers(max(0, len(pool) - 3), len(pool)))]
        choice = int(draw.integers(0, 8))
        fitting = [other for other in pool if other.shape == h.shape and other is not h]
        if choice < 3:
            size = int(draw.choice((1, 3, 5)))
            stride = 2 if draw.integers(0, 5) == 0 and min(h.shape[2:]) > 3 else 1
            h = convolution(h, f"w{k}", int(draw.choice((2, 3, 4))), stride, size)
        elif choice == 3:
            h = graphc.relu(h)
        elif choice == 4 and fitting:
            h = fitting[int(draw.integers(0, len(fitting)))] + h
        elif choice == 5:
            h = normed(h, f"n{k}")
        elif choice == 6:
            h = graphc.relu(h + graphc.parameter(f"b{k}", (h.shape[1], 1, 1)))
        elif choice == 7 and min(h.shape[2:]) > 3:
            h = graphc.max_pool2d(graphc.relu(h), 2)
        pool.append(h)
    last = convolution(pool[-1], "last", 2)
    return graphc.mean(last * last) + graphc.mean(graphc.tanh(pool[len(pool) // 2]))


@pytest.mark.parametrize("seed", range(40))
def test_networks_drawn_at_random(seed):
    judged(drawn(seed), seed=seed)
