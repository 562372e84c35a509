"""Initialisers: what each keeps from layer to layer, on networks deep enough to show it."""

from __future__ import annotations

import numpy
import pytest

import graphc

WIDTH, DEPTH = 200, 20


def deviations(initial, unit) -> list[float]:
    """Standard deviation of the activations after each of 20 layers of 200 units."""
    generator = numpy.random.default_rng(0)
    h = generator.normal(size=(WIDTH, 400))
    found = []
    for _ in range(DEPTH):
        h = unit(initial((WIDTH, WIDTH), generator) @ h)
        found.append(float(h.std()))
    return found


def rectified(values):
    return numpy.maximum(values, 0)


def test_small_normal_weights_let_activations_die_out_with_depth():
    assert deviations(graphc.normal(0.01), numpy.tanh)[-1] < 1e-10


def test_large_normal_weights_saturate_tanh():
    assert deviations(graphc.normal(1.0), numpy.tanh)[-1] > 0.9


def test_xavier_keeps_the_variance_for_tanh_and_not_for_relu():
    tanh, relu = deviations(graphc.xavier(), numpy.tanh), deviations(graphc.xavier(), rectified)
    assert tanh[-1] > 0.1
    assert relu[-1] < 0.01  # each ReLU halves the second moment, 20 of them a millionfold


def test_he_keeps_the_variance_for_relu():
    found = deviations(graphc.he(), rectified)
    assert 0.3 < found[-1] / found[0] < 3


def test_zeros_keep_all_units_equal():
    x, t = graphc.input("x", ("N", 3)), graphc.input("t", ("N", 1))
    h = graphc.tanh(graphc.layers.dense(x, 4, name="hidden", initial=graphc.normal(0.0, mean=0.3)))
    loss = graphc.mean((graphc.layers.dense(h, 1, name="out", initial=graphc.normal(0.0, mean=0.3)) - t) ** 2)
    step = graphc.compile([loss], optimizer=graphc.SGD(0.1), dtype="float64")
    generator = numpy.random.default_rng(1)
    for _ in range(5):
        step(x=generator.normal(size=(8, 3)), t=generator.normal(size=(8, 1)))
    weights = numpy.asarray(step.parameters["hidden.weight"])
    assert (weights == weights[0]).all()  # equal at the start, equal for ever
    assert not numpy.allclose(weights, 0.3)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (6, 2, 3, 3), (40, 2, 3, 3), (1, 5), (5, 1)])
def test_orthogonal_rows_or_columns_stand_at_right_angles(shape):
    matrix = graphc.orthogonal(2.0)(shape, numpy.random.default_rng(3)).reshape(shape[0], -1)
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    assert product == pytest.approx(4 * numpy.eye(min(rows, columns)), abs=1e-12)


def test_orthogonal_weights_keep_norms_at_any_depth():
    generator = numpy.random.default_rng(4)
    x = generator.normal(size=50)
    h = x
    for _ in range(100):
        h = graphc.orthogonal()((50, 50), generator) @ h
    assert numpy.linalg.norm(h) == pytest.approx(numpy.linalg.norm(x), rel=1e-12)


def test_orthogonal_draws_every_rotation_equally_often():
    generator = numpy.random.default_rng(5)
    drawn = numpy.array([graphc.orthogonal()((2, 2), generator) for _ in range(2000)])
    # without mended signs the QR decomposition of LAPACK gives the first column one sign only
    assert abs(drawn.mean(axis=0)).max() < 0.06
    assert 0.45 < (numpy.linalg.det(drawn) > 0).mean() < 0.55


def test_an_initialiser_that_cannot_be_is_refused():
    with pytest.raises(graphc.GraphcError, match="-1"):
        graphc.normal(-1.0)
    with pytest.raises(graphc.GraphcError, match="two dimensions"):
        graphc.orthogonal()((3,), numpy.random.default_rng(0))


def test_the_same_seed_draws_the_same_weights():
    x = graphc.input("x", ("N", 6))
    y = graphc.layers.dense(x, 5, name="one", initial=graphc.orthogonal())
    first, second, other = (graphc.compile([y], seed=seed).parameters["one.weight"].copy() for seed in (1, 1, 2))
    assert numpy.array_equal(first, second)
    assert not numpy.array_equal(first, other)
