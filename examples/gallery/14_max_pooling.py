"""Max pooling of five numbers with windows of three.

Stride 1 gives three outputs, stride 2 gives two. Each maximum is a router: its gradient goes back to the winner, and
a number that wins twice gets both.
"""

import numpy
from shared import save, wires

import graphc

numbers = {"x1": 2, "x2": 5, "x3": 1, "x4": 0, "x5": 4}
x = graphc.inputs(" ".join(numbers))
for stride, outputs, gradients in ((1, [5, 5, 4], [0, 2, 0, 0, 1]), (2, [5, 4], [0, 1, 0, 0, 1])):
    starts = range(0, 3, stride)
    pools = [graphc.max(graphc.max(x[k], x[k + 1]), x[k + 2]).named(f"y{n}") for n, k in enumerate(starts, 1)]
    run = graphc.backward(sum(pools[1:], pools[0]).named("L")).at(numbers)
    printed = wires(save(run.draw(), f"max_pooling_stride_{stride}"))
    assert [int(printed[pool.name][0]) for pool in pools] == outputs
    assert [int(printed[name][1]) for name in numbers] == gradients

    row = graphc.input("row", (1, 1, 5))
    gate = graphc.max_pool1d(row, 3, stride=stride)
    whole = graphc.backward(graphc.sum(gate)).at(row=[[list(numbers.values())]])
    assert numpy.ravel(whole.value(gate)).tolist() == outputs
    assert numpy.ravel(whole.grad(row)).tolist() == gradients
