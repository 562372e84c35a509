"""The two views of a convolution equal the gate: a sparse matrix with shared weights, and patches times filters."""

from __future__ import annotations

import numpy
import pytest

import graphc

GENERATOR = numpy.random.default_rng(11)

LOCAL = graphc.gate("y[i,j] = sum(x[i+r,j+s] * w[i,j,r,s], r, s)", name="local")
# a transposed convolution: the write index is the affine one
SPREAD = graphc.gate(
    "y[n,k,2*i+r] += sum(x[n,c,i] * w[c,k,r], c)", name="spread", extents={"y.2": "2*(size(x,2) - 1) + size(w,2)"}
)


WEIGHT = graphc.parameter("w", (3, 4))


def gate(name: str, image: tuple, weight: tuple, **attributes) -> graphc.Node:
    return getattr(graphc, name)(graphc.input("x", image), graphc.parameter("w", weight), **attributes)


def conv(image: tuple, weight: tuple, **attributes) -> graphc.Node:
    return gate("conv2d", image, weight, **attributes)


CASES = {
    "valid": lambda: conv(("N", 1, 5, 5), (1, 1, 3, 3)),
    "several": lambda: conv(("N", 3, 7, 6), (4, 3, 3, 2)),
    "strides": lambda: conv(("N", 2, 9, 8), (3, 2, 3, 2), stride=(2, 3), padding=(2, 1)),
    "dilated": lambda: conv(("N", 2, 9, 8), (3, 2, 3, 2), dilation=(2, 3), padding=2),
    "same": lambda: conv(("N", 4, 5, 5), (6, 2, 3, 3), groups=2, padding="same"),
    "depthwise": lambda: conv(("N", 3, 5, 5), (3, 1, 3, 3), groups=3, stride=2, padding="full"),
    "leftover": lambda: conv(("N", 1, 4, 4), (2, 1, 1, 1), stride=5),
    "one image": lambda: conv((1, 2, 5, 4), (3, 2, 2, 2)),
    "dense": lambda: graphc.input("x", ("N", 7)) @ graphc.parameter("w", (7, 4)),
    "weight first": lambda: graphc.parameter("w", (4, 7)) @ graphc.input("x", (7,)),
    "conv1d": lambda: gate("conv1d", ("N", 4, 9), (6, 2, 3), groups=2, padding=1, stride=2),
    "conv3d": lambda: gate("conv3d", ("N", 2, 4, 5, 4), (3, 2, 2, 3, 2), padding="same"),
    "causal": lambda: gate("causal_conv1d", ("N", 3, 9), (2, 3, 2), dilation=2),
    "depthwise gate": lambda: gate("depthwise_conv2d", ("N", 3, 5, 6), (3, 2, 3, 2), padding=1, stride=2),
    "local gate": lambda: gate("locally_connected2d", ("N", 3, 5, 5), (3, 3, 2, 3, 3, 3), padding=1, stride=2),
    "transposed": lambda: gate("transposed_conv2d", ("N", 3, 4, 3), (3, 2, 3, 2), stride=(2, 3), padding=1),
    "transposed whole": lambda: gate("transposed_conv2d", ("N", 3, 4, 3), (3, 2, 3, 2), dilation=2),
    "transposed more": lambda: gate(
        "transposed_conv2d", ("N", 2, 3, 4), (2, 2, 3, 3), stride=3, padding=(1, 2), output_padding=2
    ),
    "layer": lambda: graphc.layers.dense(graphc.input("x", ("N", 4)), 3, bias=False, name="y", weight=WEIGHT),
    "no examples": lambda: LOCAL(graphc.input("x", (5, 6)), graphc.parameter("w", (3, 4, 3, 3))),
    "spread": lambda: SPREAD(graphc.input("x", ("N", 3, 5)), graphc.parameter("w", (3, 2, 3))),
}


def drawn(node: graphc.Node, examples: int = 3) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Values of input and weight, and what the gate makes of them."""
    leaves = {leaf.name: leaf for leaf in node.operands}
    x, w = (GENERATOR.normal(size=[e if isinstance(e, int) else examples for e in leaves[name].shape]) for name in "xw")
    run = graphc.backward(graphc.sum(node)).at(x=x, w=w)
    return x, w, run.value(node)


@pytest.mark.parametrize("case", CASES)
def test_the_matrix_times_the_input_is_the_convolution(case):
    node = CASES[case]()
    x, w, y = drawn(node)
    view = graphc.toeplitz(node)
    matrix = view.matrix(w)
    assert matrix.shape == view.shape
    rows = x.reshape(-1, view.shape[1])
    assert (rows @ matrix.T).ravel() == pytest.approx(y.ravel(), rel=1e-12, abs=1e-12)
    sparse = view.sparse(w)
    assert (sparse @ rows.T).T.ravel() == pytest.approx(y.ravel(), rel=1e-12, abs=1e-12)
    assert sparse.nnz == len(view.rows)  # no place is counted twice


@pytest.mark.parametrize("case", CASES)
def test_patches_times_filters_are_the_convolution(case):
    node = CASES[case]()
    x, w, y = drawn(node)
    view = graphc.patches(node)
    assert view.result(x, w) == pytest.approx(y, rel=1e-12, abs=1e-12)
    assert view.patch_matrix(x).shape[-1] == view.filter_matrix(w).shape[-2] == view.shape[1]


def test_the_patch_matrix_is_what_the_window_sees():
    node = CASES["several"]()
    x, w, y = drawn(node)
    view = graphc.patches(node)
    assert view.shape == (5 * 5, 3 * 3 * 2)
    windows = numpy.lib.stride_tricks.sliding_window_view(x, (3, 2), (2, 3))  # n c i j r s
    expected = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 18)
    assert numpy.array_equal(view.patch_matrix(x), expected)
    assert numpy.array_equal(view.filter_matrix(w), w.reshape(4, 18).T)
    product = (view.patch_matrix(x) @ view.filter_matrix(w)).reshape(3, 5, 5, 4).transpose(0, 3, 1, 2)
    assert product == pytest.approx(y, rel=1e-12)


def test_groups_and_local_weights_have_a_pair_of_matrices_each():
    same = graphc.patches(CASES["same"]())
    x, w, _ = drawn(CASES["same"]())
    assert same.patch_matrix(x).shape == (2, 3 * 25, 2 * 9)
    assert same.filter_matrix(w).shape == (2, 2 * 9, 3)
    local = graphc.patches(CASES["no examples"]())
    assert local.batches == ("i", "j")
    assert local.filter_matrix(numpy.zeros((3, 4, 3, 3))).shape == (12, 9, 1)


def test_shared_weights_are_visible():
    view = graphc.toeplitz(CASES["valid"]())
    assert view.shape == (9, 25)
    assert (view.uses == 9).all()  # each of 9 weights stands once in each row
    first = {tuple(map(int, item)) for item in zip(view.rows, view.columns, view.elements, strict=True) if item[0] == 0}
    assert first == {(0, 5 * r + s, 3 * r + s) for r in range(3) for s in range(3)}
    assert (graphc.toeplitz(CASES["no examples"]()).uses == 1).all()  # nothing is shared


def test_padding_leaves_out_the_products_with_zeros():
    view = graphc.toeplitz(conv(("N", 1, 3, 3), (1, 1, 3, 3), padding=1))
    assert view.uses.tolist() == [[[[4, 6, 4], [6, 9, 6], [4, 6, 4]]]]


def test_the_matrix_is_the_jacobian_of_the_gate():
    node = conv((1, 2, 5, 4), (3, 2, 2, 2), padding=1, stride=2).named("y")
    x, w, _ = drawn(node)
    jacobian = graphc.backward(graphc.sum(node)).at(x=x, w=w).local("x", "y", jacobian=True)
    view = graphc.toeplitz(node)
    assert numpy.array_equal(view.matrix(w), jacobian.reshape(view.shape))


def test_the_pattern_is_printed_and_a_wide_one_described():
    x, w = graphc.input("x", (5,)), graphc.parameter("w", (3,))
    slide = graphc.gate("y[i] = sum(x[i+r] * w[r], r)")
    assert str(graphc.toeplitz(slide(x, w))).splitlines() == ["w0 w1 w2 .  .", ".  w0 w1 w2 .", ".  .  w0 w1 w2"]
    twice = graphc.gate("y[i] = sum(x[i] * w[r], r)", name="twice")
    assert str(graphc.toeplitz(twice(graphc.input("x", (1,)), graphc.parameter("w", (2,))))) == "w0+w1"
    wide = graphc.toeplitz(conv(("N", 1, 9, 9), (1, 1, 3, 3)))
    assert str(wide) == "49 x 81, 441 of 3,969 entries are not zero"


@pytest.mark.parametrize("view", [graphc.toeplitz, graphc.patches], ids=["toeplitz", "patches"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: 3, ["int", "convolution"]),
        (lambda: graphc.input("x", (3,)), ["input", "'x'", "sum of products"]),
        (lambda: graphc.relu(graphc.input("x", (3,))), ["relu", "sum of products"]),
        (
            lambda: graphc.layers.conv2d(graphc.input("x", ("N", 1, 5, 5)), 2, 3, name="c"),
            ["'c'", "bias", "sum of products"],
        ),
        (lambda: graphc.max_pool2d(graphc.input("x", ("N", 1, 4, 4)), 2), ["max_pool2d", "sum of products"]),
        (lambda: gate("masked_conv2d", ("N", 1, 5, 5), (2, 1, 3, 3)), ["masked_conv2d", "sum of products"]),
    ],
    ids=["number", "input", "relu", "layer", "pool", "masked"],
)
def test_what_has_no_such_view_is_refused(view, make, words):
    with pytest.raises(graphc.GraphcError) as error:
        view(make())
    for word in words:
        assert word in str(error.value)


def test_extents_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(graphc.GraphcError, match="H") as error:
        graphc.toeplitz(conv(("N", 1, "H", 5), (1, 1, 3, 3)))
    assert "must be a number" in str(error.value)
    view = graphc.toeplitz(CASES["valid"]())
    with pytest.raises(graphc.GraphcError, match=r"\(1, 1, 3, 3\).*\(3, 3\)"):
        view.matrix(numpy.zeros((3, 3)))
    with pytest.raises(graphc.DataError):
        graphc.patches(CASES["valid"]()).patch_matrix(numpy.zeros((5, 5)))


def test_patches_of_an_image_whose_height_is_known_at_run_time():
    node = conv(("N", 1, "H", 5), (1, 1, 3, 3))
    x, w = GENERATOR.normal(size=(2, 1, 6, 5)), GENERATOR.normal(size=(1, 1, 3, 3))
    expected = graphc.backward(graphc.sum(node)).at(x=x, w=w).value(node)
    view = graphc.patches(node)
    assert view.patch_matrix(x).shape == (2 * 4 * 3, 9)
    assert view.result(x, w) == pytest.approx(expected, rel=1e-12)
