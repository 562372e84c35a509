"""Slide by slide: the neuron and the convolution as frames.

Forward, then backward, one gate at a time, and nothing moves in between: a PDF with a page for each step, or an
animated GIF. The window of the convolution goes from place to place in the same way.
"""

import numpy
from shared import folder, says_frames

import graphc

w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
negated = -1 * (w0 * x0 + w1 * x1 + w2)
run = graphc.backward((1 / (graphc.exp(negated) + 1)).named("f")).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)
for path in (*run.frames(folder() / "neuron_steps.pdf"), *run.frames(folder() / "neuron_steps.gif")):
    assert says_frames(path) == 1 + 8 + 1 + 8 + 1  # inputs, eight gates, the 1 at the end, eight gates, everything

x, w = graphc.input("x", (1, 1, 5, 5)), graphc.parameter("w", (1, 1, 3, 3))
image = numpy.array([[int(digit) for digit in row] for row in ("33210", "00131", "31223", "20022", "20001")])
weights = numpy.array([[int(digit) for digit in row] for row in ("012", "220", "012")])
y = graphc.conv2d(x, w).named("y")
run = graphc.backward(graphc.sum(y)).at(x=image[None, None], w=weights[None, None])
assert run.value(y).ravel().tolist() == [12, 12, 17, 10, 17, 19, 9, 6, 14]
(path,) = run.frames(folder() / "convolution_steps.gif", style="convolution")
assert says_frames(path) == 9
