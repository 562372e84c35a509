"""The convolution kernels on copies whose positions are one run, against float64 sums."""

from __future__ import annotations

import sys

import numpy
import pytest

import graphc
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.direct import emit_direct
from graphc.planning import convolution as planning
from graphc.planning import plan
from tests.kernels.guarded import stays_whole
from tests.kernels.test_convolution import ONE_AND_SLOW, TOLERANCE, call, check, nodes

#: (N, groups, C, K), (height, width), (R, S), steps, dilation, (top, left), (rows, columns), rows of a piece.
SHAPES = (
    ((3, 1, 3, 7), (9, 16), (3, 3), (1, 1), (1, 1), (1, 1), (9, 16), 9),
    ((2, 2, 2, 5), (7, 11), (2, 4), (1, 1), (1, 1), (0, 3), (6, 9), 4),  # pieces overlap, or the last one is shorter
    ((2, 1, 1, 9), (5, 19), (3, 2), (1, 1), (2, 3), (3, 0), (7, 16), 3),
    ((1, 3, 1, 1), (4, 17), (3, 3), (1, 1), (1, 1), (5, 4), (12, 22), 12),  # windows that see nothing of the image
    ((2, 1, 2, 4), (17, 39), (3, 3), (2, 2), (1, 1), (1, 1), (9, 20), 5),
    ((1, 1, 2, 3), (11, 70), (2, 4), (3, 3), (2, 1), (2, 0), (4, 23), 4),  # a phase of rows that no element meets
    ((2, 1, 2, 4), (1, 40), (1, 5), (1, 2), (1, 2), (0, 4), (1, 20), 1),
)
WIDTHS = [("float32", 128), ("float32", 512), pytest.param("float64", 256, marks=pytest.mark.slow)]


def seen_by(x, window, steps, dilation, before, rows, columns):
    """What every filter element meets: (N, groups, C, R, S, rows, columns)."""
    height, width = x.shape[-2:]
    r, s, i, j = numpy.ogrid[: window[0], : window[1], :rows, :columns]
    i, j = i * steps[0] + r * dilation[0] - before[0], j * steps[1] + s * dilation[1] - before[1]
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    return numpy.where(inside, x[..., i.clip(0, height - 1), j.clip(0, width - 1)], 0.0)


def arguments_of(shape):
    (n, groups, c, k), image, window, steps, dilation, before, (rows, columns), piece = shape
    return [n, c, k, rows, columns, *image, *window, *steps, *dilation, groups], [*before], piece


def copied_elements(shape, rows, columns):
    (_, _, c, _), _, (r, s), (step, _), (spread, _), *_ = shape
    last = (r - 1) * spread
    return c * s * min(step, last + 1) * (rows + last // step) * columns


def forward_text(shape, dtype, *, shard):
    (_, _, c, k), _, (r, s), (_, stride), *_, (_, columns), piece = shape
    literals = s, k, stride, copied_elements(shape, piece, columns), c * r * s, piece * columns
    return emit_direct("convolution_of_runs", dtype, literals, shard=shard)


def sums_text(shape, dtype, *, shard):
    (_, _, c, k), _, (r, s), (_, stride), *_, (_, columns), piece = shape
    literals = s, k, stride, c * r * s, copied_elements(shape, piece, 2 * columns)
    return emit_direct("correlation_of_runs", dtype, literals, shard=shard)


def operands(shape, dtype):
    (n, groups, c, k), image, window, *_, (rows, columns), _ = shape
    generator = numpy.random.default_rng(5)
    x = generator.standard_normal((n, groups, c, *image)).astype(dtype)
    w = generator.standard_normal((groups, c + 1, *window, k)).astype(dtype)
    w[:, c] = numpy.nan  # the last row is never used
    t = generator.standard_normal((n, groups, k, rows, columns)).astype(dtype)
    return x, w, t


@pytest.mark.parametrize(("dtype", "bits"), WIDTHS)
def test_forward(monkeypatch, dtype, bits):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    for shape in SHAPES:
        (n, groups, c, k), _, window, steps, dilation, before, (rows, columns), _ = shape
        x, w, _ = operands(shape, dtype)
        seen = seen_by(x.astype("float64"), window, steps, dilation, before, rows, columns)
        expected = numpy.einsum("ngcrsij,gcrsk->ngkij", seen, w[:, :c])
        known, first, piece = arguments_of(shape)
        for shard in (False, True):
            text = forward_text(shape, dtype, shard=shard)
            results = []
            for threads in (1, 2, 7):
                y = numpy.full((n, groups, k, rows, columns), numpy.nan, dtype)
                call(text, (x, w, y), [*known, *first, piece], threads)
                numpy.testing.assert_allclose(y, expected, rtol=0, atol=20 * TOLERANCE[dtype], err_msg=f"{shape}")
                results.append(y.tobytes())
                writers = numpy.zeros(y.shape)
                for thread in range(threads):
                    y = numpy.full_like(y, numpy.nan)
                    call(text, (x, w, y), [*known, *first, piece], threads, thread)
                    writers += numpy.isfinite(y)
                assert (writers == 1).all()  # no two threads write one element
            assert len(set(results)) == 1


@pytest.mark.parametrize(("dtype", "bits"), WIDTHS)
def test_gradient_of_the_filter(monkeypatch, dtype, bits):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    for shape in SHAPES:
        _, _, window, steps, dilation, before, (rows, columns), _ = shape
        x, _, t = operands(shape, dtype)
        seen = seen_by(x.astype("float64"), window, steps, dilation, before, rows, columns)
        expected = numpy.einsum("ngcrsij,ngkij->gkcrs", seen, t)
        known, first, _ = arguments_of(shape)
        tolerance = 20 * TOLERANCE[dtype] * max(1.0, numpy.abs(expected).max())
        whole, sharded = (sums_text(shape, dtype, shard=shard) for shard in (False, True))
        # as it is, and in a frame of zeros
        for above, below, beside in ((0, 0, 0), (2, 1, 3)):
            framed = numpy.pad(t, ((0, 0),) * 3 + ((above, below), (beside, 2 * (beside > 0))))
            pitch = framed.shape[-1]
            place = [framed.shape[-2] * pitch, above * pitch + beside, pitch, *first]
            results = []
            for threads in (1, 2, 7):
                dw = numpy.full(expected.shape, numpy.nan, dtype)
                call(whole, (x, framed, dw), [*known, *place], threads)
                numpy.testing.assert_allclose(dw, expected, rtol=0, atol=tolerance, err_msg=f"{shape}")
                results.append(dw.tobytes())
                writers = numpy.zeros(dw.shape)
                for thread in range(threads):
                    dw = numpy.full_like(dw, numpy.nan)
                    call(whole, (x, framed, dw), [*known, *place], threads, thread)
                    writers += numpy.isfinite(dw)
                assert (writers == 1).all()
            assert len(set(results)) == 1
            # parts are images, whose sums are added to what is there
            dw = numpy.ones(expected.shape, dtype)
            call(sharded, (x, framed, dw), [*known, *place], 2)
            numpy.testing.assert_allclose(dw, expected + 1, rtol=0, atol=tolerance)


def test_no_images_and_an_empty_sum():
    shape = SHAPES[0]
    (_, groups, c, k), _, window, *_ = shape
    known, first, _ = arguments_of(shape)
    empty = numpy.zeros(0, "float32")
    dw = numpy.full((groups, k, c, *window), numpy.nan, "float32")
    call(sums_text(shape, "float32", shard=False), (empty, empty, dw), [0, *known[1:], 144, 0, 16, *first])
    assert (dw == 0).all()


@pytest.fixture
def _runs(monkeypatch):
    """Take them wherever they serve."""
    monkeypatch.setattr(planning, "_speed_of_runs", lambda *_: 1000.0)
    for name in ("tile_of", "tile_of_sums"):
        monkeypatch.setattr(planning, name, lambda _: 0)
    monkeypatch.setattr(planning, "_LEAST_PHASES", 0.0)


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize("dtype", ONE_AND_SLOW)
def test_plans(monkeypatch, dtype):
    both = {"threads": 2, "shards": (False, True), "kinds": ["convolution", "convolution", "correlation"]}
    check(dtype, 3, 3, 6, (8, 10), (3, 3), padding=1, **both)
    check(dtype, 2, 4, 6, (9, 7), (2, 3), groups=2, dilation=(2, 1), **both)
    check(dtype, 3, 2, 4, (9, 7), (3, 3), gate=graphc.depthwise_conv2d, padding=(0, 2), **both)
    check(dtype, 2, 3, 4, (23,), (3,), gate=graphc.causal_conv1d, dilation=4, **both)
    check(dtype, 2, 3, 4, (13, 16), (3, 3), padding=1, stride=(3, 2), **both)
    monkeypatch.setattr(planning, "_COPIED", 700)  # pieces
    check(dtype, 2, 3, 5, (13, 11), (3, 3), padding=1, **both)


def test_few_channels_take_runs():
    for c, k, extent, size in ((3, 32, 32, 3), (1, 6, 28, 5), (3, 16, 32, 3)):
        wanted, _ = nodes(8, c, k, (extent, extent), (size, size), {"padding": "same"})
        planned, _ = plan([wanted["y"], wanted["dw"]], {})
        kinds = [planned.kernels[launch.kernel].kind for launch in planned.launches]
        assert kinds.count("convolution_of_runs") == kinds.count("correlation_of_runs") == 1
        assert not [buffer for buffer in planned.buffers if buffer.shape[-1:] in ((34,), (32 + (size == 3),))]
    wanted, _ = nodes(8, 64, 64, (16, 16), (5, 5), {"padding": 2})
    kinds = {kernel.kind for kernel in plan(list(wanted.values()), {})[0].kernels}
    assert not {kind for kind in kinds if kind.endswith("_of_runs")}


def test_accumulators_stay_in_registers():
    for text in (forward_text(SHAPES[0], "float32", shard=True), sums_text(SHAPES[0], "float32", shard=True)):
        assert not any("alloca <" in line for line in cache.llvm_text(text).splitlines())


#: Tensors that end where a page begins that nobody may touch, or begin where one ends.
_GUARDED = """
import itertools
from tests.kernels.guarded import guarded
from tests.kernels.test_runs import SHAPES, arguments_of, forward_text, sums_text
from tests.kernels.test_convolution import call


for shape, behind in itertools.product(SHAPES, (True, False)):
    (n, groups, c, k), (height, width), (r, s), _, _, _, (rows, columns), _ = shape
    known, first, piece = arguments_of(shape)
    x, w = guarded(n * groups * c * height * width, behind), guarded(groups * c * r * s * k, behind)
    if groups > 1:
        w = guarded(groups * (c + 1) * r * s * k, behind)
    y, dw = guarded(n * groups * k * rows * columns, behind), guarded(groups * k * c * r * s, behind)
    call(forward_text(shape, "float32", shard=False), (x, w, y), [*known, *first, piece])
    call(sums_text(shape, "float32", shard=False), (x, y, dw), [*known, rows * columns, 0, columns, *first])
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guards a page with mprotect")
def test_memory_beyond_the_tensors_is_never_touched():
    stays_whole(_GUARDED)
