"""Square brackets, comparisons, `.T` and iteration on nodes; gates that rearrange axes, on named sizes too."""

from __future__ import annotations

import itertools

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate

RNG = numpy.random.default_rng(0)

INDICES = [
    numpy.s_[0],
    numpy.s_[-1],
    numpy.s_[1, 2],
    numpy.s_[3, -4, 1],
    numpy.s_[numpy.int64(2)],
    numpy.s_[:],
    numpy.s_[...],
    numpy.s_[()],
    numpy.s_[1:],
    numpy.s_[:-1],
    numpy.s_[:2],
    numpy.s_[-3:],
    numpy.s_[1:3],
    numpy.s_[1:100],
    numpy.s_[-100:2],
    numpy.s_[::2],
    numpy.s_[1::3],
    numpy.s_[::-1],
    numpy.s_[::-3],
    numpy.s_[2::-1],
    numpy.s_[-2:0:-2],
    numpy.s_[:, 1:4],
    numpy.s_[:, ::2, 0],
    numpy.s_[..., 0],
    numpy.s_[..., 1:],
    numpy.s_[1, ..., ::-1],
    numpy.s_[None],
    numpy.s_[..., None],
    numpy.s_[:, None],
    numpy.s_[None, 1, ..., None, 1:],
    numpy.s_[::2, None, ::-2, None, :1],
]


def _both(node: graphc.Node, **data: numpy.ndarray) -> list[numpy.ndarray]:
    """Value in the reference, in a float64 kernel and in a float32 kernel."""
    leaves = {n: data[n.name] for n in graphc.graph.topological([node]) if n.kind == "input"}
    given = {n.name: array for n, array in leaves.items()}  # a gradient may not depend on every input
    values = evaluate([node], leaves)
    return values + [graphc.compile([node], dtype=dtype)(**given)[0] for dtype in ("float64", "float32")]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_square_brackets_are_numpys_in_value_and_gradient(index):
    array = RNG.integers(-99, 99, (4, 5, 3)).astype("float64")
    expected = array[index]
    x = graphc.input("x", array.shape, dtype="float64")
    part = x[index]
    assert part.shape == expected.shape
    for found in _both(part, x=array):
        numpy.testing.assert_array_equal(found, expected)
    weight = RNG.integers(1, 9, expected.shape).astype("float64")
    gradient = numpy.zeros(array.shape)
    gradient[index] += weight
    back = graphc.backward(part, wrt=[x], upstream=weight)
    for found in _both(back.grad(x), x=array):
        numpy.testing.assert_array_equal(found, gradient)


def test_a_part_of_whole_numbers_holds_whole_numbers():
    x = graphc.input("x", (4, 3), dtype="int32")
    array = RNG.integers(-(2**31), 2**31 - 1, (4, 3))
    for index in (numpy.s_[1:, ::-1], numpy.s_[:2], numpy.s_[0], numpy.s_[None]):
        assert x[index].dtype == "int32"
        for found in _both(x[index], x=array):
            assert found.dtype.kind == "i"
            numpy.testing.assert_array_equal(found, array[index])


@pytest.mark.parametrize(
    ("index", "extent"),
    [
        (numpy.s_[1:], "N + -1"),
        (numpy.s_[:-1], "N + -1"),
        (numpy.s_[2:-1], "N + -3"),
        (numpy.s_[-4:], None),
        (numpy.s_[::-1], "N"),
        (numpy.s_[-2::-1], "N + -1"),
        (numpy.s_[:1:-1], "N + -2"),
        (numpy.s_[:, 1:, None], "N"),
        (numpy.s_[1:, ..., None], "N + -1"),
        (numpy.s_[None, :, 0], "1"),
        (numpy.s_[0], "3"),
        (numpy.s_[-1], "3"),
        (numpy.s_[2, 1], ""),
        (numpy.s_[1:, ::2], "N + -1"),
    ],
    ids=str,
)
def test_named_sizes(index, extent):
    x = graphc.input("x", ("N", 3))
    if extent is None:
        with pytest.raises(graphc.ShapeError, match="depends on the size N"):
            x[index]
        return
    part = x[index]
    assert ([str(e) for e in part.shape] or [""])[0] == extent
    back = graphc.backward(graphc.sum(part * part) if part.shape else part * part, wrt=[x])
    for n in (5, 8):
        array = RNG.normal(size=(n, 3))
        gradient = numpy.zeros((n, 3))
        gradient[index] = 2 * array[index]
        found = zip((1e-12, 1e-12, 1e-5), _both(part, x=array), _both(back.grad(x), x=array), strict=True)
        for tolerance, value, slope in found:
            numpy.testing.assert_allclose(value, array[index], rtol=tolerance)
            numpy.testing.assert_allclose(slope, gradient, rtol=tolerance)


def test_an_index_that_turns_out_to_be_out_of_range_reads_zero():
    x = graphc.input("x", ("N", 2))
    for index, n in itertools.product((0, 3, -1, -4), range(3)):
        array = RNG.normal(size=(n, 2))
        expected = array[index] if -n <= index < n else numpy.zeros(2)
        for found in _both(x[index], x=array):
            numpy.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (4, ("index 4 is out of range", "axis 0 has 4")),
        (-5, ("index -5 is out of range",)),
        (numpy.s_[:, 3], ("index 3", "axis 1 has 3")),
        (numpy.s_[0, 0, 0], ("3 indices for 2 axes", "(4, 3)")),
        (1.0, ("whole number", "1.0")),
        (numpy.s_[: numpy.float32(2)], ("whole number",)),
        (True, ("mask", "graphc.where")),
        (numpy.array([True, False, True, True]), ("mask", "graphc.where")),
        ([0, 1], ("several numbers", "graphc.constant")),
        (numpy.array([0, 1]), ("several numbers",)),
        ("rows", ("str", "'rows'")),
        (numpy.s_[..., ...], ("one ...",)),
        (numpy.s_[::0], ("step of 0",)),
        (numpy.s_[3:1], ("leaves nothing", "3:1")),
    ],
    ids=str,
)
def test_indices_that_are_refused(index, words):
    x = graphc.input("x", (4, 3))
    with pytest.raises(graphc.ShapeError) as error:
        x[index]
    for word in (*words, "test_index.py"):
        assert word in str(error.value)


def test_a_whole_number_node_picks_rows_and_a_float_or_a_second_one_is_refused():
    table, token = graphc.input("table", (5, 2)), graphc.input("token", (2, 3), dtype="int32")
    rows = table[token]
    assert rows.gate == "embedding"
    data = {"table": RNG.normal(size=(5, 2)), "token": numpy.array([[4, 0, 4], [1, 1, 1]])}
    for found in _both(rows, **data):
        numpy.testing.assert_allclose(found, data["table"][data["token"]], rtol=1e-6)
    gradient = graphc.backward(graphc.sum(rows), wrt=[table]).grad(table)
    for found in _both(gradient, **data):
        numpy.testing.assert_array_equal(found, [[1, 1], [3, 3], [0, 0], [0, 0], [2, 2]])
    with pytest.raises(graphc.ShapeError, match="integers"):
        table[graphc.input("x", (2,))]
    with pytest.raises(graphc.ShapeError, match="gather"):
        table[0, token]
    with pytest.raises(graphc.ShapeError, match="gather"):
        table[:, graphc.input("k", (), dtype="int32")]


@pytest.mark.parametrize("operator", ["__lt__", "__le__", "__gt__", "__ge__"])
def test_comparisons(operator):
    a, b = graphc.input("a", (3, 4)), graphc.input("b", (4,))
    data = {"a": RNG.integers(0, 3, (3, 4)), "b": RNG.integers(0, 3, 4)}
    for found in _both(getattr(a, operator)(b), **data):
        numpy.testing.assert_array_equal(found, getattr(data["a"], operator)(data["b"]))
    for found in _both(getattr(a, operator)(1), a=data["a"]):
        numpy.testing.assert_array_equal(found, getattr(data["a"], operator)(1))
    mirrored = {"__lt__": 1 < a, "__le__": 1 <= a, "__gt__": 1 > a, "__ge__": 1 >= a}[operator]  # noqa: SIM300 - the number on the left is what is tested
    mirror = {"__lt__": 1 < data["a"], "__le__": 1 <= data["a"], "__gt__": 1 > data["a"], "__ge__": 1 >= data["a"]}  # noqa: SIM300 - the same
    for found in _both(mirrored, a=data["a"]):
        numpy.testing.assert_array_equal(found, mirror[operator])


def test_the_transpose_of_every_rank():
    for shape in ((), (3,), (3, 4), (2, 3, 4)):
        array = RNG.normal(size=shape)
        for found in _both(graphc.input("x", shape).T, x=array):
            numpy.testing.assert_allclose(found, array.T, rtol=1e-6)


def test_iterating_ends_and_needs_a_number():
    x = graphc.input("x", (3, 2))
    array = RNG.normal(size=(3, 2))
    assert len(x) == 3
    rows = list(x)
    assert [row.shape for row in rows] == [(2,)] * 3
    for row, expected in zip(evaluate(rows, {x: array}), array, strict=True):
        numpy.testing.assert_array_equal(row, expected)
    first, second, third = x
    assert (first.shape, second.shape, third.shape) == ((2,),) * 3
    named, scalar = graphc.input("named", ("N", 2)), graphc.input("scalar")
    for node, word in ((named, "size N"), (scalar, "scalar")):
        with pytest.raises(graphc.GraphcError, match=word):
            iter(node)
        with pytest.raises(graphc.GraphcError, match=word):
            len(node)


# ---- other gates over axes with named sizes ----------------------------------------------------------


def _named() -> tuple[graphc.Node, graphc.Node, dict[str, numpy.ndarray]]:
    a, b = graphc.input("a", ("N", 3)), graphc.input("b", ("M", 3))
    return a, b, {"a": RNG.normal(size=(4, 3)), "b": RNG.normal(size=(2, 3))}


NAMED = {
    "concat": (lambda a, b: graphc.concat((a, b)), lambda a, b: numpy.concatenate((a, b)), "N + M"),
    "concat of three": (
        lambda a, b: graphc.concat((a, a, b)),
        lambda a, b: numpy.concatenate((a, a, b)),
        "2*N + M",
    ),
    "concat with a number": (
        lambda a, b: graphc.concat((numpy.zeros((2, 3)), a, numpy.ones((1, 3)))),
        lambda a, b: numpy.concatenate((numpy.zeros((2, 3)), a, numpy.ones((1, 3)))),
        "N + 3",
    ),
    "concat in pairs": (
        lambda a, b: graphc.concat((graphc.concat((b, a)), b)),
        lambda a, b: numpy.concatenate((b, a, b)),
        "N + 2*M",
    ),
    "stack": (lambda a, b: graphc.stack((a, a), 1), lambda a, b: numpy.stack((a, a), 1), "N"),
    "split": (lambda a, b: graphc.split(a, (1, 2), 1)[1], lambda a, b: a[:, 1:], "N"),
    "pad": (lambda a, b: graphc.pad(a, ((0, 2), (1, 0))), lambda a, b: numpy.pad(a, ((0, 2), (1, 0))), "N + 2"),
    "tile": (lambda a, b: graphc.tile(a, (3, 2)), lambda a, b: numpy.tile(a, (3, 2)), "3*N"),
    "transpose": (lambda a, b: graphc.transpose(a[None]).T, lambda a, b: a[None], "1"),
    "einsum": (lambda a, b: graphc.einsum("nk,mk->nm", a, b), lambda a, b: a @ b.T, "N"),
    "one_hot": (
        lambda a, b: graphc.one_hot(graphc.argmax(a), 3) * a,
        lambda a, b: numpy.eye(3)[a.argmax(1)] * a,
        "N",
    ),
    "gather": (
        lambda a, b: graphc.gather(a, graphc.reshape(graphc.argmax(a), ("N", 1))),
        lambda a, b: a.max(1, keepdims=True),
        "N",
    ),
    "cosine_similarity": (
        lambda a, b: graphc.cosine_similarity(a[:, None], b),
        lambda a, b: a @ b.T / numpy.linalg.norm(a, axis=1)[:, None] / numpy.linalg.norm(b, axis=1),
        "N",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_gates_that_rearrange_axes_take_named_sizes(name):
    apply, expected, extent = NAMED[name]
    a, b, data = _named()
    node = apply(a, b)
    assert str(node.shape[0]) == extent
    used = {n.name for n in graphc.graph.topological([node]) if n.kind == "input"}
    data = {k: v for k, v in data.items() if k in used}
    for found, tolerance in zip(_both(node, **data), (1e-12, 1e-12, 1e-5), strict=True):
        numpy.testing.assert_allclose(found, expected(data["a"], data.get("b")), rtol=tolerance, atol=tolerance)
    loss = graphc.sum(node * node)
    wrt = [a, b] if "b" in used else [a]
    back = graphc.backward(loss, wrt=wrt)
    reference = evaluate([back.grad(n) for n in wrt], {n: data[n.name] for n in wrt})
    _, gradients = graphc.compile([loss], gradients=wrt, dtype="float64")(**data)
    for node, gradient in zip(wrt, reference, strict=True):
        numpy.testing.assert_allclose(gradients[node.name], gradient, rtol=1e-10, atol=1e-12)
        assert numpy.any(gradient)


def test_bilinear_upsampling_against_interpolation_row_by_row():
    array = RNG.normal(size=(2, 1, 3, 5))
    x = graphc.input("x", array.shape)
    for factor in (1, 2, 3, 4):
        result = array
        for axis in (2, 3):
            n = array.shape[axis]
            at = (numpy.arange(factor * n) + 0.5) / factor - 0.5  # numpy.interp continues the border
            result = numpy.apply_along_axis(
                lambda row, at=at, n=n: numpy.interp(at, numpy.arange(n), row), axis, result
            )
        for found, tolerance in zip(
            _both(graphc.upsample(x, factor, "bilinear"), x=array), (1e-12, 1e-12, 1e-5), strict=True
        ):
            numpy.testing.assert_allclose(found, result, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "subscripts",
    ["ij,jk,kl,lm->im", "ij,jk,kl,lm", "ij, kj ,kl, lm -> ", "ij,jk,kl,ml->i", "ab,bc,cd,dy->ya"],
)
def test_einsum_of_four_operands_is_numpys(subscripts):
    shapes = [(2, 3), (3, 4), (4, 2), (2, 3)]
    letters = subscripts.partition("->")[0].replace(" ", "").split(",")
    extents = dict.fromkeys("ijklmabcdy", 3)
    shapes = [tuple(extents[c] for c in word) for word in letters]
    nodes = [graphc.input(f"operand{k}", shape) for k, shape in enumerate(shapes)]
    data = {f"operand{k}": RNG.normal(size=shape) for k, shape in enumerate(shapes)}
    expected = numpy.einsum(subscripts.replace(" ", ""), *data.values())
    node = graphc.einsum(subscripts, *nodes)
    for found, tolerance in zip(_both(node, **data), (1e-12, 1e-12, 1e-4), strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("subscripts", "word"),
    [
        ("ij,jk->iz", "'z' in the output"),
        ("ij,jk->ii", "twice"),
        ("ij->i", "1 operand(s), found 2"),
        ("ij,jkl->i", "'jkl' in 'ij,jkl->i' names 3 axes, but operand 1 has 2"),
        ("...j,jk->...k", "'...' is not part"),
        ("i1,jk->i", "'1'"),
        ("ij,jk->i,k", "','"),
        ("ij,jk->ik->i", "'-'"),
        ("ii,jk->jk", "two extents"),
        ("ij,ik->jk", "two extents"),
        ("__import__('os')", "'_'"),
        (3, "text"),
    ],
)
def test_subscripts_that_are_refused(subscripts, word):
    a, b = graphc.input("a", (2, 3)), graphc.input("b", (3, 4))
    with pytest.raises(graphc.ShapeError) as error:
        graphc.einsum(subscripts, a, b)
    assert word in str(error.value)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: graphc.concat((x, x.T)), "agree in every axis but 0"),
        (lambda x: graphc.concat((x, x[0])), "agree in every axis"),
        (lambda x: graphc.concat(()), "one or more"),
        (lambda x: graphc.concat([graphc.input(f"x{n}", (n,)) for n in "MNM"]), "join fewer operands"),
        (lambda x: graphc.stack((x, x.T)), "one shape"),
        (lambda x: graphc.split(x, 4, 1), "do not divide"),
        (lambda x: graphc.split(x, (1, 1), 1), "add up to 2"),
        (lambda x: graphc.pad(x, ((1, 1),)), "one such pair for each"),
        (lambda x: graphc.pad(x, -1), "at least 0"),
        (lambda x: graphc.tile(x, (1, 1, 2)), "more numbers than x has axes"),
        (lambda x: graphc.tile(x, 0), "at least 1"),
        (lambda x: graphc.transpose(x, (0, 0)), "each of the 2 axes once"),
        (graphc.upsample, "rank 2"),
        (lambda x: graphc.upsample(graphc.reshape(x, (1, 1, 2, 3)), mode="cubic"), "'cubic'"),
        (lambda x: graphc.one_hot(x, 3), "integers"),
        (lambda x: graphc.cosine_similarity(x, x[:, :2]), "same extent on axis"),
        (lambda x: graphc.cosine_similarity(x, x, epsilon=0), "epsilon"),
        (lambda x: x[None] @ graphc.input("y", (2, 4, 3, 1)) @ graphc.input("z", (3, 1, 2)), "do not broadcast"),
    ],
)
def test_what_gates_that_rearrange_axes_refuse(call, word):
    with pytest.raises(graphc.ShapeError) as error:
        call(graphc.input("x", (2, 3)))
    assert word in str(error.value)
    assert "test_index.py" in str(error.value)
