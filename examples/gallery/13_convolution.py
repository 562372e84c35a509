"""A convolution seen four ways.

The example of the lecture: a filter of 3 x 3 slides over an image of 5 x 5. The same numbers come out of a sparse
matrix in which each weight stands nine times, and of a matrix of patches times the filter.
"""

import numpy
from shared import save, texts

import graphc

x, w = graphc.input("x", (1, 1, 5, 5)), graphc.parameter("w", (1, 1, 3, 3))
y = graphc.conv2d(x, w).named("y")
rows, filter_rows = ("33210", "00131", "31223", "20022", "20001"), ("012", "220", "012")
image, weights = ([[float(digit) for digit in row] for row in part] for part in (rows, filter_rows))
run = graphc.backward(graphc.sum(y)).at(x=[[image]], w=[[weights]])
result = [[12, 12, 17], [10, 17, 19], [9, 6, 14]]
assert run.value(y)[0, 0].tolist() == result
matrix = graphc.toeplitz(y).matrix(run.value("w"))
assert (matrix @ numpy.ravel(image)).reshape(3, 3).tolist() == result

for view in ("window", "toeplitz", "patches"):
    said = texts(save(graphc.draw(run, style="convolution", view=view), f"convolution_{view}"))
    assert {"12", "17", "10", "19", "9", "6", "14"} <= set(said), view

# and a fourth way: a locally connected layer, a filter of its own at each place, whose filters happen to be the same
tied = graphc.parameter("tied", (3, 3, 1, 1, 3, 3))
local = graphc.locally_connected2d(x, tied).named("local")
data = {"x": [[image]], "tied": numpy.broadcast_to(weights, (3, 3, 1, 1, 3, 3))}
tied_run = graphc.backward(graphc.sum(local)).at(data)
assert tied_run.value(local)[0, 0].tolist() == result
assert numpy.array_equal(tied_run.grad(tied).sum((0, 1)), run.grad(w))  # what is shared has the sum of the gradients
assert "14" in texts(save(graphc.draw(tied_run, style="convolution"), "convolution_local"))
