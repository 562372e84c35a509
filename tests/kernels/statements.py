"""Hand-made canonical statements, and how to run one: as a kernel and by the interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from graphc.formula.expression import Expression, Symbol, call, number
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Divides,
    Gather,
    Guard,
    Interval,
    Let,
    Statement,
    Wins,
    affine,
)
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.emit import emit
from graphc.kernels.cpu.writer import extent_names
from graphc.planning.plan import Kernel


def form(item: str | int | Affine) -> Affine:
    if isinstance(item, Affine):
        return item
    return affine(item) if isinstance(item, str) else Affine((), item)


def at(tensor: str, *index: str | int | Affine | Gather, outside: str = "forbidden", flat: bool = False) -> Access:
    return Access(tensor, tuple(i if isinstance(i, Gather) else form(i) for i in index), outside, flat)


def statement(
    write: Access,
    operator: str,
    axes: Mapping[str, str | int | Affine],
    reads: Mapping[str, Access],
    body: Expression,
    guards: Sequence[Guard] = (),
    lets: Sequence[Let] = (),
    accumulate: bool = False,
) -> Statement:
    return Statement(
        write,
        operator,
        tuple(Axis(name, form(extent)) for name, extent in axes.items()),
        tuple(reads.items()),
        body,
        tuple(guards),
        tuple(lets),
        accumulate,
    )


def kernel(s: Statement, dtype: str, types: Mapping[str, str] | None = None) -> Kernel:
    tensors = dict.fromkeys((s.write.tensor, *sorted(s.tensors())))
    return Kernel("loops", s, tuple((t, (types or {}).get(t, dtype)) for t in tensors))


def run(s: Statement, arrays: Mapping[str, numpy.ndarray], dtype: str, hints=None) -> numpy.ndarray:
    """Run a statement as a compiled kernel on copies; the written tensor starts as given in ``arrays``.

    Threads, run one after the other and the last first, must leave what one alone leaves, but for the last bits: the
    remainder of a vector loop may round a product and a sum apart that the loop rounds together.
    """
    types = {t: str(a.dtype) for t, a in arrays.items() if a.dtype.kind == "i"}
    made = kernel(s, dtype, types)
    copies = [numpy.array(arrays[t], dtype=d, order="C") for t, d in made.dtypes]
    if not s.accumulate and copies[0].dtype.kind == "f":
        copies[0][...] = numpy.nan  # what is left over must show
    extents = []
    for names, array in zip(extent_names(made), copies, strict=True):
        extents += [array.size] if names and names[0].endswith(".size") else list(array.shape)
    function = cache.function(cache.addresses([cache.Source(emit(made, hints), "a test")])[0])
    start = copies[0].copy()
    results = []
    for threads in (2, 3, 7, 1):
        copies[0][...] = start
        arguments = numpy.array([*(a.ctypes.data for a in copies), *extents], numpy.int64)
        for thread in reversed(range(threads)):
            function(arguments.ctypes.data, thread, threads)
        results.append(copies[0].copy())
    for shared in results[:-1]:
        ulp = 4 * numpy.finfo(dtype).eps
        numpy.testing.assert_allclose(shared, results[-1], rtol=ulp, atol=ulp)
    return results[-1]


x, y, w, g, v = (Symbol(n) for n in "xywgv")
product = call("mul", x, y)


def matmul() -> Statement:
    return statement(
        at("t0", "i", "j"), "sum", {"i": "t0.0", "j": "t0.1", "k": "t1.1"},
        {"x": at("t1", "i", "k"), "y": at("t2", "k", "j")}, product,
    )  # fmt: skip


def conv(stride: int = 1, padding: int = 0, dilation: int = 1) -> Statement:
    row = affine({"i": stride, "r": dilation}, -padding)
    column = affine({"j": stride, "s": dilation}, -padding)
    return statement(
        at("t0", "n", "k", "i", "j"), "sum",
        {"n": "t0.0", "k": "t0.1", "i": "t0.2", "j": "t0.3", "c": "t1.1", "r": "t2.2", "s": "t2.3"},
        {"x": at("t1", "n", "c", row, column), "y": at("t2", "k", "c", "r", "s")}, product,
        [Interval(row, form("t1.2")), Interval(column, form("t1.3"))],
    )  # fmt: skip


def conv_input_scatter(stride: int = 1, padding: int = 0, dilation: int = 1) -> Statement:
    """Adjoint of the convolution with respect to its input: t0 = dx, t1 = dy, t2 = w."""
    row = affine({"i": stride, "r": dilation}, -padding)
    column = affine({"j": stride, "s": dilation}, -padding)
    return statement(
        at("t0", "n", "c", row, column), "sum",
        {"n": "t1.0", "k": "t1.1", "i": "t1.2", "j": "t1.3", "c": "t0.1", "r": "t2.2", "s": "t2.3"},
        {"x": at("t1", "n", "k", "i", "j"), "y": at("t2", "k", "c", "r", "s")}, product,
        [Interval(row, form("t0.2")), Interval(column, form("t0.3"))],
    )  # fmt: skip


def conv_input_gather(stride: int = 1, padding: int = 0, dilation: int = 1) -> Statement:
    """The same with one point for each element of dx: i = (p + padding - dilation*r) / stride."""
    row = affine({"p": 1, "r": -dilation}, padding)
    column = affine({"q": 1, "s": -dilation}, padding)
    return statement(
        at("t0", "n", "c", "p", "q"), "sum",
        {"n": "t0.0", "c": "t0.1", "p": "t0.2", "q": "t0.3", "k": "t1.1", "r": "t2.2", "s": "t2.3"},
        {"x": at("t1", "n", "k", "i", "j"), "y": at("t2", "k", "c", "r", "s")}, product,
        [
            Divides(row, stride), Interval(row, form("t1.2") * stride),
            Divides(column, stride), Interval(column, form("t1.3") * stride),
        ],
        [Let("i", row, stride), Let("j", column, stride)],
    )  # fmt: skip


def conv_weights(stride: int = 1, padding: int = 0, dilation: int = 1) -> Statement:
    row = affine({"i": stride, "r": dilation}, -padding)
    column = affine({"j": stride, "s": dilation}, -padding)
    return statement(
        at("t0", "k", "c", "r", "s"), "sum",
        {"k": "t0.0", "c": "t0.1", "r": "t0.2", "s": "t0.3", "n": "t1.0", "i": "t2.2", "j": "t2.3"},
        {"x": at("t1", "n", "c", row, column), "y": at("t2", "n", "k", "i", "j")}, product,
        [Interval(row, form("t1.2")), Interval(column, form("t1.3"))],
    )  # fmt: skip


def pool(operator: str, stride: int = 2, padding: int = 0) -> Statement:
    row, column = affine({"i": stride, "r": 1}, -padding), affine({"j": stride, "s": 1}, -padding)
    return statement(
        at("t0", "n", "i", "j"), operator,
        {"n": "t0.0", "i": "t0.1", "j": "t0.2", "r": 3, "s": 2}, {"x": at("t1", "n", row, column)}, x,
        [Interval(row, form("t1.1")), Interval(column, form("t1.2"))],
    )  # fmt: skip


def pool_adjoint_gather(stride: int = 2, padding: int = 0) -> Statement:
    """Upstream t1 goes to the element whose position t2 holds."""
    row, column = affine({"p": 1, "r": -1}, padding), affine({"q": 1, "s": -1}, padding)
    return statement(
        at("t0", "n", "p", "q"), "sum",
        {"n": "t0.0", "p": "t0.1", "q": "t0.2", "r": 3, "s": 2}, {"g": at("t1", "n", "i", "j")}, g,
        [
            Divides(row, stride), Interval(row, form("t1.1") * stride),
            Divides(column, stride), Interval(column, form("t1.2") * stride),
            Wins(at("t2", "n", "i", "j"), ((form("r"), form(3)), (form("s"), form(2)))),
        ],
        [Let("i", row, stride), Let("j", column, stride)],
    )  # fmt: skip


def pool_adjoint_scatter(stride: int = 2, padding: int = 0) -> Statement:
    row, column = affine({"i": stride, "r": 1}, -padding), affine({"j": stride, "s": 1}, -padding)
    return statement(
        at("t0", "n", row, column), "sum",
        {"n": "t1.0", "i": "t1.1", "j": "t1.2", "r": 3, "s": 2}, {"g": at("t1", "n", "i", "j")}, g,
        [
            Interval(row, form("t0.1")), Interval(column, form("t0.2")),
            Wins(at("t2", "n", "i", "j"), ((form("r"), form(3)), (form("s"), form(2)))),
        ],
    )  # fmt: skip


def reduction(operator: str, axis: int, body: Expression = x) -> Statement:
    """Over one axis of a matrix (0: down the columns, 1: along the rows), or both (2)."""
    written = [("i",), ("j",), ()]
    kept = {0: ("j",), 1: ("i",), 2: ()}[axis]
    del written
    return statement(at("t0", *kept), operator, {"i": "t1.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, body)


def embedding() -> Statement:
    return statement(
        at("t0", "n", "d"), "set", {"n": "t0.0", "d": "t0.1"},
        {"x": at("t1", Gather(at("t2", "n")), "d")}, x,
    )  # fmt: skip


def embedding_adjoint() -> Statement:
    return statement(
        at("t0", Gather(at("t2", "n")), "d"), "sum", {"n": "t1.0", "d": "t1.1"}, {"g": at("t1", "n", "d")}, g
    )


def elementwise(body: Expression) -> Statement:
    return statement(
        at("t0", "i", "j", "k"), "set", {"i": "t0.0", "j": "t0.1", "k": "t0.2"},
        {"x": at("t1", "i", "j", "k"), "y": at("t2", "i", "j", "k")}, body,
    )  # fmt: skip


half = number(0.5)
