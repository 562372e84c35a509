"""softmax and log_softmax keep their digits where scores are large, masked or equal."""

from __future__ import annotations

import numpy
import pytest

import graphc


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 1e30])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_shift_of_all_scores_changes_nothing(name, shift, dtype):
    scores = numpy.array([0.0, 1.0, 3.0, 1.0]) if abs(shift) < 1e30 else numpy.zeros(4)
    upstream = numpy.array([1.0, -2.0, 0.5, 3.0])
    p = numpy.exp(scores) / numpy.exp(scores).sum()
    value, gradient = p, p * (upstream - (upstream * p).sum())
    if name == "log_softmax":
        value, gradient = numpy.log(p), upstream - p * upstream.sum()
    x = graphc.input("x", (4,))
    y = getattr(graphc, name)(x)
    back = graphc.backward(y, wrt=[x], upstream=upstream)
    found = graphc.compile([y, back.grad(x)], dtype=dtype)(x=scores + shift)
    for result, expected in zip(found, (value, gradient), strict=True):
        # a gradient is a difference of terms as large as the largest upstream
        tolerance = 2e-6 if dtype == "float32" else 1e-14
        numpy.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance / 10)


def test_a_masked_score_gets_no_probability_and_no_gradient():
    x = graphc.input("x", (3,))
    y = graphc.softmax(x)
    back = graphc.backward(y, wrt=[x], upstream=numpy.array([1.0, 2.0, 3.0]))
    value, gradient = graphc.compile([y, back.grad(x)])(x=[-numpy.inf, 5.0, 5.0])
    assert value.tolist() == [0.0, 0.5, 0.5]
    assert gradient.tolist() == [0.0, -0.25, 0.25]
