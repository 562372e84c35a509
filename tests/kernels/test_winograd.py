"""Convolution by tiles (Winograd's F(2x2, 3x3) and F(4x4, 3x3)) against float64 sums, at several vector widths."""

from __future__ import annotations

import itertools
import sys

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate
from graphc.kernels.cpu import cache, winograd
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.direct import emit_direct
from graphc.kernels.cpu.winograd import (
    emit_convolution_by_tiles,
    emit_correlation_by_tiles,
    emit_filters_by_tiles,
    emit_gradient_by_tiles,
    pieces_of,
)
from graphc.planning import convolution as planning
from graphc.planning import plan
from graphc.planning import winograd as rule
from tests.kernels.guarded import stays_whole
from tests.kernels.test_convolution import Machine, call, nodes
from tests.planning.interpreter import Interpreter

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 4e-5, "float64": 2e-13}
SIZES = (2, 4)


def take(monkeypatch, size):
    """Take tiles of a size wherever a kernel can, not only where that pays."""
    monkeypatch.setattr(planning, "_share", lambda *_: 1.0)
    monkeypatch.setattr(planning, "_LEAST_MAPS", 0.0)
    for name in ("_LEAST_CHANNELS", "_LEAST_MAPS", "_LEAST_TILES", "_LEAST_ELEMENTS"):
        monkeypatch.setattr(rule, name, 0)
    monkeypatch.setattr(rule, "_MOST_PRODUCTS", 1e9)
    monkeypatch.setattr(rule, "_SIZES", {size: 1.0})


def kinds_of(planned):
    return [planned.kernels[launch.kernel].kind for launch in planned.launches]


def check(dtype, n, c, k, image, *, threads=1, shards=(False,), kernels=True, **options):
    """The result and both gradients, on tiles, that of the filter where these are whole."""
    wanted, values = nodes(n, c, k, image, (3, 3), options)
    expected = evaluate(list(wanted.values()), values)
    for shard in shards:
        planned, leaves = plan(list(wanted.values()), {}, dtype="float64", shard=shard)
        assert kinds_of(planned).count("convolution_by_tiles") == 2
        (size,) = rule._SIZES
        whole = any(all(extent % some == 0 for extent in wanted["y"].shape[2:]) for some in SIZES if some <= size)
        assert kinds_of(planned).count("correlation_by_tiles") == whole
        inputs = {node.label: v for node, v in values.items()}
        if kernels:
            machine = Machine(planned, leaves, inputs, {"N": n}, dtype=dtype, threads=threads)
        else:
            machine = Interpreter(planned, leaves, inputs, {"N": n}, threads)
        machine.run()
        for name, number, value in zip(wanted, planned.outputs, expected, strict=True):
            scale = max(1.0, numpy.abs(value).max())
            numpy.testing.assert_allclose(
                machine.array(number),
                value,
                atol=TOLERANCE[dtype] * scale,
                rtol=0,
                err_msg=f"{name}: {n}, {c}, {k}, {image}, {options}, shard {shard}",
            )


@pytest.mark.parametrize("size", SIZES)
def test_planning_without_kernels(monkeypatch, size):
    take(monkeypatch, size)
    for image, padding in (((6, 8), 1), ((5, 7), 1), ((5, 4), 2), ((7, 6), 0), ((3, 3), 0), ((4, 8), 1)):
        check("float64", 3, 3, 5, image, padding=padding, shards=(False, True), kernels=False)
    check("float64", 2, 3, 18, (4, 4), padding=(2, 1), kernels=False)


@pytest.mark.parametrize(
    ("dtype", "bits", "size"),
    [("float32", 128, 4), ("float32", 256, 2), ("float32", 512, 4), ("float64", 128, 4)],
)
def test_vector_widths(monkeypatch, dtype, bits, size):
    take(monkeypatch, size)
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    lanes = vector_lanes(dtype)
    check(dtype, 2, 7, 7, (4, 2 * lanes), padding=1, threads=2, shards=(True,))
    check(dtype, 2, 7, 7, (5, lanes + 1), padding=1, threads=2)
    if (bits, size) == (128, 4):  # rows of more tiles than are computed together
        check(dtype, 2, 3, 3, (4, 18 * lanes), padding=1, threads=2, shards=(True,))


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float64", 2)])
def test_paddings_and_odd_sizes(monkeypatch, dtype, size):
    take(monkeypatch, size)
    for padding, image in ((0, (8, 10)), (1, (9, 8)), (2, (6, 8)), ((1, 2), (3, 7))):
        check(dtype, 3, 5, 5, image, padding=padding, threads=2, shards=(True,))


@pytest.mark.parametrize(("size", "widths", "heights"), [(2, (28,), (3,)), (4, (1, 8, 28), (1, 7))])
def test_widths_down_to_one(monkeypatch, size, widths, heights):
    take(monkeypatch, size)
    for width in widths:
        check("float32", 1, 5, 5, (4, width), padding=1)
    for height in heights:
        check("float32", 5, 5, 5, (height, 8), padding=1, threads=3, shards=(False, True))


@pytest.mark.parametrize(("threads", "size"), [(1, 2), (3, 4)])
def test_channels_and_maps(monkeypatch, threads, size):
    take(monkeypatch, size)
    check("float32", 3, 1, 13, (4, 8), padding=1, threads=threads, shards=(False, True))
    # more channels and maps than are computed together
    for name in ("CHANNELS", "SUM_CHANNELS"):
        monkeypatch.setattr(winograd, name, 8)
    monkeypatch.setattr(winograd, "MAPS", 8 * size)
    check("float32", 2, 20, 64, (4, 8), padding=1, threads=threads, shards=(False, True))


def test_what_pays():
    """Steps, other filters, groups, few channels and small images stay with direct kernels."""

    def found(n, c, k, image, window, **options):
        wanted, _ = nodes(n, c, k, image, window, options)
        kinds = kinds_of(plan(list(wanted.values()), {})[0])
        return kinds.count("convolution_by_tiles"), kinds.count("correlation_by_tiles")

    assert found(8, 16, 16, (32, 32), (3, 3), padding=1) == (2, 1)
    assert found(8, 64, 64, (8, 8), (3, 3), padding=1) == (2, 1)
    assert found(8, 32, 64, (15, 15), (3, 3), padding=1) == (2, 0)
    assert found(8, 32, 64, (6, 6), (3, 3), padding=1) == (2, 1)
    assert found(8, 16, 8, (16, 16), (3, 3), padding=1) == (2, 0)
    for c, k, image, window, options in (
        (3, 32, (32, 32), (3, 3), {"padding": 1}),
        (16, 6, (32, 32), (3, 3), {"padding": 1}),
        (16, 16, (32, 32), (5, 5), {"padding": 2}),
        (16, 16, (32, 32), (3, 1), {}),
        (16, 16, (32, 32), (3, 3), {"padding": 1, "stride": 2}),
        (16, 16, (32, 32), (3, 3), {"padding": 2, "dilation": 2}),
        (16, 16, (32, 32), (3, 3), {"padding": 1, "groups": 2}),
        (16, 16, (1, 32), (3, 3), {"padding": 1}),
        (16, 16, (32,), (3,), {"padding": 1}),
    ):
        assert found(8, c, k, image, window, **options) == (0, 0), (c, k, image, window, options)


@pytest.mark.parametrize(
    ("columns", "lanes", "size", "pieces"),
    [(32, 16, 2, 2), (8, 16, 2, 4), (15, 16, 2, 2), (24, 16, 2, 4), (1, 16, 2, 16), (32, 16, 4, 4), (8, 16, 4, 8)],
)
def test_pieces(columns, lanes, size, pieces):
    assert pieces_of(columns, lanes, size) == pieces


def operands(dtype, n, c, k, rows, columns, tile):
    """A framed image, packed and transformed filters, and the arguments of the kernel."""
    generator = numpy.random.default_rng(5)
    height, pitch = rows + -rows % tile + 2, columns + -columns % tile + 2
    x = generator.standard_normal((n, c, height, pitch)).astype(dtype)
    w = generator.standard_normal((c + 1, 3, 3, k)).astype(dtype)
    u = numpy.full(((tile + 2) ** 2, c + rule.MORE, -(-k // rule.ROUND) * rule.ROUND), numpy.nan, dtype)
    call(emit_filters_by_tiles(dtype, k, tile), (w, u), [c, k])
    return x, w, u, [n, c, k, rows, columns, height, pitch, 3, 3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("tile", SIZES)
def test_results_do_not_depend_on_the_number_of_threads(tile):
    for columns in (20, 13):
        x, _, u, arguments = operands("float32", 3, 5, 17, 7, columns, tile)
        text = emit_convolution_by_tiles("float32", vector_lanes("float32"), columns, 17, tile, shard=False)
        results = []
        for threads in (1, 2, 3, 50):
            y = numpy.full((3, 17, 7, columns), numpy.nan, "float32")
            call(text, (x, u, y), arguments, threads)
            results.append(y.tobytes())
            writers = numpy.zeros(y.shape)
            for thread in range(threads):
                part = numpy.full_like(y, numpy.nan)
                call(text, (x, u, part), arguments, threads, thread)
                writers += numpy.isfinite(part)
            assert (writers == 1).all()  # no two threads write one element
        assert len(set(results)) == 1


def test_a_shard_computes_its_images_only():
    x, _, u, arguments = operands("float32", 5, 3, 9, 4, 8, 4)
    lanes = vector_lanes("float32")
    whole = numpy.empty((5, 9, 4, 8), "float32")
    call(emit_convolution_by_tiles("float32", lanes, 8, 9, 4, shard=False), (x, u, whole), arguments)
    for part in range(3):
        y = numpy.full_like(whole, numpy.nan)
        call(emit_convolution_by_tiles("float32", lanes, 8, 9, 4, shard=True), (x, u, y), arguments, 3, part)
        own = slice(5 * part // 3, 5 * (part + 1) // 3)
        assert (y[own] == whole[own]).all()
        assert numpy.isfinite(y).sum() == y[own].size
    nothing = numpy.full_like(whole, numpy.nan)
    call(emit_convolution_by_tiles("float32", lanes, 8, 9, 4, shard=True), (x, u, nothing), arguments, 50)
    assert (nothing == whole).all()


@pytest.mark.parametrize("tile", SIZES)
@pytest.mark.parametrize("place", [(8, 12, 0, 0), (11, 13, 1, 1), (9, 17, 0, 3)], ids=["whole", "framed", "apart"])
def test_gradients_of_filters_on_threads(tile, place):
    """Each thread writes its own elements, or adds those of its images, whatever lies where nothing is read."""
    n, c, k, rows, columns = 5, 7, 21, 8, 12
    x, _, _, arguments = operands("float32", n, c, k, rows, columns, tile)
    x[:, :, rows + 2 :], x[..., columns + 2 :] = numpy.nan, numpy.nan
    height, pitch, top, left = place
    framed = numpy.full((n, k, height, pitch), numpy.nan, "float32")
    t = framed[:, :, top : top + rows, left : left + columns]
    t[...] = numpy.random.default_rng(6).standard_normal(t.shape)
    arguments = [*arguments, height * pitch, top * pitch + left, pitch]
    lanes = vector_lanes("float32")
    whole, shard = (
        emit_correlation_by_tiles("float32", lanes, columns, k, c, tile, shard=shard) for shard in (False, True)
    )
    results = []
    for threads in (1, 2, 3, 50):
        d = numpy.full((tile + 2, tile + 2, c, 32), numpy.nan, "float32")
        call(whole, (x, framed, d), arguments, threads)
        results.append(d[..., :k].tobytes())
        writers = numpy.zeros(d.shape)
        for thread in range(threads):
            part = numpy.full_like(d, numpy.nan)
            call(whole, (x, framed, part), arguments, threads, thread)
            writers += numpy.isfinite(part)
        assert (writers[..., :k] == 1).all()
    assert len(set(results)) == 1
    seen = numpy.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(2, 3))
    expected = numpy.einsum("ncijrs,nkij->crsk", seen[:, :, :rows, :columns], t.astype("float64"))
    parts = numpy.zeros((tile + 2, tile + 2, c, 32), "float32")
    parts[..., k:] = numpy.nan
    for part in range(3):  # a sum that is added to
        call(shard, (x, framed, parts), arguments, 3, part)
    for sums in (d, parts):
        y = numpy.full((c, 3, 3, k), numpy.nan, "float32")
        call(emit_gradient_by_tiles("float32", lanes, tile), (sums, y), [c, k])
        numpy.testing.assert_allclose(y, expected, atol=1e-4)


def test_what_lies_beside_the_result_stays_there():
    """What lies in the frame beyond the last results does not count, and a mark beside the result is kept."""
    for rows, columns, tile in ((3, 5, 2), (5, 8, 2), (3, 5, 4), (6, 8, 4)):
        x, w, u, arguments = operands("float32", 2, 3, 5, rows, columns, tile)
        if tile == 2:  # elements of larger tiles reach all of their results, to be cancelled
            x[:, :, rows + 2 :], x[..., columns + 2 :] = numpy.nan, numpy.nan
        y = numpy.full(2 * 5 * rows * columns + 200, 7, "float32")
        text = emit_convolution_by_tiles("float32", vector_lanes("float32"), columns, 5, tile, shard=False)
        call(text, (x, u, y[100:]), arguments)
        assert (y[:100] == 7).all()
        assert (y[-100:] == 7).all()
        seen = numpy.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(2, 3))
        expected = numpy.einsum("ncijrs,crsk->nkij", seen[:, :, :rows, :columns], w[:3].astype("float64"))
        numpy.testing.assert_allclose(y[100:-100].reshape(expected.shape), expected, atol=1e-4)


def errors(c):
    """Largest errors of tiles and of the direct kernel in float32: of results of size 1, and of sums for a filter."""
    n, k, size = 2, 16, 16
    generator = numpy.random.default_rng(c)
    frame = numpy.zeros((n, c, size + 3, size + 1), "float32")
    frame[:, :, 1 : size + 1, 1 : size + 1] = generator.standard_normal((n, c, size, size))
    w = (generator.standard_normal((c + 1, 3, 3, k)) / (3 * c**0.5)).astype("float32")
    t = (generator.standard_normal((n, k, size, size)) / (n**0.5 * size)).astype("float32")
    arguments = [n, c, k, size, size, size + 3, size + 1, 3, 3, 1, 1, 1, 1, 1]
    y, dw = numpy.zeros((n, k, size, size)), numpy.zeros((c, 3, 3, k))
    flat = frame.astype("float64").reshape(n, c, -1)
    place = numpy.arange(size)[:, None] * (size + 1) + numpy.arange(size)
    for r, s in itertools.product(range(3), repeat=2):
        seen = flat[..., place + r * (size + 1) + s]
        y += numpy.einsum("ncij,ck->nkij", seen, w[:c, r, s].astype("float64"))
        dw[:, r, s] = numpy.einsum("ncij,nkij->ck", seen, t.astype("float64"))
    found = []
    for tile in (0, *SIZES):
        result, sums, lanes = numpy.empty(y.shape, "float32"), numpy.empty(dw.shape, "float32"), vector_lanes("float32")
        if tile:
            u, d = (numpy.empty(((tile + 2) ** 2, c + more, k), "float32") for more in (rule.MORE, 0))
            call(emit_filters_by_tiles("float32", k, tile), (w, u), [c, k])
            text = emit_convolution_by_tiles("float32", lanes, size, k, tile, shard=False)
            call(text, (frame, u, result), arguments)
            text = emit_correlation_by_tiles("float32", lanes, size, k, c, tile, shard=False)
            call(text, (frame, t, d), [*arguments, size**2, 0, size])
            call(emit_gradient_by_tiles("float32", lanes, tile), (d, sums), [c, k])
        else:
            call(emit_direct("convolution", "float32", (1, k, 0), shard=False), (frame, w, result), arguments)
            text = emit_direct("correlation_of_maps", "float32", (3, k), shard=False)
            call(text, (frame, t, sums), [*arguments, size**2, 0, size])
        found.append((numpy.abs(result - y).max(), numpy.abs(sums - dw).max()))
    return found


@pytest.mark.parametrize("c", [16, 64, 256])
def test_errors_beside_direct_sums(c):
    direct, small, large = errors(c)
    for kind in range(2):
        assert small[kind] < 1.25 * direct[kind]
        assert large[kind] < 4 * direct[kind]
        assert large[kind] < 2e-5


@pytest.mark.parametrize("bits", [128, 512])
def test_no_double_in_float32_kernels(monkeypatch, bits):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    kinds = ("convolution_by_tiles", (9, 16, 2)), ("correlation_by_tiles", (8, 16, 16, 2))
    kinds += ("convolution_by_tiles", (9, 16, 4)), ("correlation_by_tiles", (8, 16, 16, 4))
    kinds += ("convolution_filters_by_tiles", (16, 4)), ("correlation_filters_by_tiles", (4,))
    for kind, literals in kinds:
        text = cache.llvm_text(emit_direct(kind, "float32", literals, shard=False))
        assert " x float>" in text
        assert "double" not in text
        assert ".f64" not in text


@pytest.mark.parametrize(("dtype", "threads"), [("float32", 2), ("float64", 1)])
def test_compiled_steps(dtype, threads):
    for n, c, k, image in ((3, 16, 16, (18, 32)), (5, 16, 16, (9, 11)))[:threads]:
        wanted, values = nodes(n, c, k, image, (3, 3), {"padding": 1})
        step = graphc.compile(list(wanted.values()), dtype=dtype, threads=threads)
        even = image[0] % 2 == 0
        assert kinds_of(step.plan).count("convolution_by_tiles") == 2
        assert kinds_of(step.plan).count("correlation_by_tiles") == even
        step.parameters["w"][...] = next(value for node, value in values.items() if node.label == "w")
        found = step(**{node.label: value for node, value in values.items() if node.kind == "input"})
        for a, b in zip(found, evaluate(list(wanted.values()), values), strict=True):
            numpy.testing.assert_allclose(a, b, atol=TOLERANCE[dtype] * max(1.0, numpy.abs(b).max()), rtol=0)


#: Tensors that end where a page begins that nobody may touch: reading beyond them ends the process.
_GUARDED = """
from graphc.kernels.cpu.winograd import emit_convolution_by_tiles, emit_filters_by_tiles
from graphc.kernels.cpu.winograd import emit_correlation_by_tiles, emit_gradient_by_tiles
from tests.kernels.guarded import guarded
from tests.kernels.test_convolution import call


cases = (4, 3, 5, 5, 4), (4, 6, 8, 17, 2), (16, 3, 5, 5, 2), (16, 3, 5, 17, 4), (16, 8, 12, 5, 4), (16, 6, 8, 5, 2)
for lanes, rows, columns, maps, tile in cases:
    # the smallest frame that planning makes: rows of columns + 1, zeros on the right are those left of the next row
    whole, pitch = columns + -columns % tile, columns + -columns % tile + 1
    height = ((rows + -rows % tile + 1) * pitch + whole + 1) // pitch + 1
    elements = (tile + 2) ** 2 * (-(-maps // 16) * 16)
    x, w, u = guarded(2 * 3 * height * pitch), guarded(4 * 9 * maps), guarded(7 * elements)
    y = guarded(2 * maps * rows * columns)
    call(emit_filters_by_tiles("float32", maps, tile), (w, u), [3, maps])
    text = emit_convolution_by_tiles("float32", lanes, columns, maps, tile, shard=False)
    arguments = [2, 3, maps, rows, columns, height, pitch, 3, 3, 1, 1, 1, 1, 1]
    call(text, (x, u, y), arguments)
    if rows % tile == columns % tile == 0:
        t, dw = guarded(2 * maps * rows * columns), guarded(3 * 9 * maps)
        d = guarded(3 * elements)
        text = emit_correlation_by_tiles("float32", lanes, columns, maps, 3, tile, shard=False)
        call(text, (x, t, d), [*arguments, rows * columns, 0, columns])
        call(emit_gradient_by_tiles("float32", lanes, tile), (d, dw), [3, maps])
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guards a page with mprotect")
def test_memory_beyond_the_tensors_is_never_touched():
    stays_whole(_GUARDED)
