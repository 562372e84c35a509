"""Elementwise launches over fixed shapes share kernels whatever their rank."""

import numpy

import graphc
from graphc.planning import plan
from tests.planning.interpreter import Interpreter


def updated(parameters, update):
    planned, leaves = plan([], {}, [(p, update(p)) for p in parameters], dtype="float64")
    draw = numpy.random.default_rng(0)
    values = {p.label: draw.normal(size=p.shape) for p in parameters}
    machine = Interpreter(planned, leaves, {k: v.copy() for k, v in values.items()}, {})
    machine.run()
    return planned, values, {node.label: machine.owned[number] for number, node in leaves.items()}


def test_parameters_of_every_rank_share_the_kernel_of_an_update():
    parameters = [graphc.parameter(f"p{len(s)}", s) for s in ((4,), (3, 5), (2, 3, 2), (2, 1, 3, 2))]
    planned, values, after = updated(parameters, lambda p: p * 0.9 + graphc.sin(p))
    assert len(planned.kernels) == 1
    for name, value in values.items():
        numpy.testing.assert_allclose(after[name], value * 0.9 + numpy.sin(value))


def test_what_is_not_element_by_element_keeps_its_axes():
    square, row = graphc.parameter("square", (3, 3)), graphc.parameter("row", (3,))
    planned, values, after = updated([square], lambda p: p + graphc.transpose(p, (1, 0)))
    numpy.testing.assert_allclose(after["square"], values["square"] + values["square"].T)
    assert all(len(kernel.statement.write.index) == 2 for kernel in planned.kernels)
    planned, _ = plan([square * row], {})
    assert len(planned.kernels[0].statement.write.index) == 2
    position = graphc.gate("y[i,j] = x[i,j] + i", name="position")
    planned, _ = plan([position(square)], {})
    assert len(planned.kernels[0].statement.write.index) == 2
