"""A convolution seen as a window, as a matrix, and as patches.

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
