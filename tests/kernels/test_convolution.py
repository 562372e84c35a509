"""The direct convolution kernels against float64 sums, called thread after thread, at several vector widths."""

from __future__ import annotations

import itertools
import sys

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.convolution import emit_convolution, emit_correlation, tile, vector_lanes
from graphc.kernels.cpu.direct import emit_direct
from graphc.kernels.cpu.maps import emit_correlation_of_maps
from graphc.planning import convolution as planning
from graphc.planning import plan
from tests.kernels.guarded import stays_whole
from tests.planning.interpreter import Interpreter

#: Both, where double precision takes as long and shares all of the code.
ONE_AND_SLOW = ["float32", pytest.param("float64", marks=pytest.mark.slow)]
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}
#: Arguments of a filter of 3 x 3, steps of 1, two groups.
NINE = [3, 3, 1, 1, 1, 1, 2]
DIRECT = {"convolution", "correlation"}


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Take every convolution that the kernels can compute, not only those that pay."""
    monkeypatch.setattr(planning, "_share", lambda *_: 1.0)
    monkeypatch.setattr(planning, "_LEAST_MAPS", 2.0)
    monkeypatch.setattr(planning, "_MAPS_SPEEDS", (0.0, 0.0))
    monkeypatch.setattr(planning, "_LEAST_PHASES", 0.0)
    for name in ("_FEW", "_FEW_POSITIONS"):
        monkeypatch.setattr(planning, name, 0)  # so that many shapes share a kernel
    for name in ("tile_of", "tile_of_sums"):
        monkeypatch.setattr(planning, name, lambda _: 0)
    monkeypatch.setattr(planning, "_speed_of_runs", lambda *_: 0.0)  # see test_runs.py


@pytest.fixture(params=["positions", "maps"])
def _vectors(monkeypatch, request):
    """Kernels on vectors of either."""
    if request.param == "maps":
        monkeypatch.setattr(planning, "_LEAST_MAPS", 0.0)
        monkeypatch.setattr(planning, "_MAPS_SPEEDS", (1000.0, 1000.0))


def nodes(n, c, k, image, window, options):
    """A convolution of images or signals and its two gradients; ``gate`` is another one than the usual."""
    options = dict(options)
    gate = options.pop("gate", graphc.conv2d if len(image) == 2 else graphc.conv1d)
    filters = (c, k // c) if gate is graphc.depthwise_conv2d else (k, c // options.get("groups", 1))
    x, w = graphc.input("x", ("N", c, *image)), graphc.parameter("w", (*filters, *window))
    y = gate(x, w, **options)
    g = graphc.input("g", ("N", *y.shape[1:]))
    back = graphc.backward(graphc.sum(y * g), [x, w])
    generator = numpy.random.default_rng(0)
    shapes = {x: (n, c, *image), w: (*filters, *window), g: (n, *y.shape[1:])}
    values = {node: generator.standard_normal(shape) for node, shape in shapes.items()}
    return {"y": y, "dx": back.grad(x), "dw": back.grad(w)}, values


class Machine(Interpreter):
    """Runs a plan with NumPy, but the direct kernels as machine code in turn for each thread."""

    def __init__(self, *arguments, dtype, threads):
        super().__init__(*arguments, threads)
        self.dtype, self.threads = dtype, threads

    def convolution(self, kernel, arrays, arguments, examples):
        held = [numpy.array(a, dtype=self.dtype, order="C") for a in arrays]
        if examples is None:
            held[-1][...] = numpy.nan  # what is not written shows
            call(text_of(kernel, self.dtype), held, arguments, self.threads)
        else:
            part, parts = self.part
            call(text_of(kernel, self.dtype), held, arguments, parts, part)
        arrays[-1][...] = held[-1]

    correlation = correlation_of_maps = convolution_of_maps = convolution_of_phases = convolution
    convolution_of_runs = correlation_of_runs = convolution
    convolution_by_tiles = correlation_by_tiles = convolution
    convolution_filters_by_tiles = correlation_filters_by_tiles = convolution


def text_of(kernel, dtype):
    return emit_direct(kernel.kind, dtype, kernel.literals, shard=bool(kernel.shard))


def call(text, arrays, arguments, threads=1, only=None):
    block = numpy.array([*(a.ctypes.data for a in arrays), *arguments], numpy.int64)
    function = cache.function(cache.addresses([cache.Source(text, "a convolution")])[0])
    for thread in range(threads) if only is None else [only]:
        function(block.ctypes.data, thread, threads)


def check(dtype, n, c, k, image, window, *, threads=1, kinds=None, shards=(False,), **options):
    wanted, values = nodes(n, c, k, image, window, options)
    expected = evaluate(list(wanted.values()), values)
    # planned in float64, which the interpreter works in; the kernels in the dtype under test
    for shard in shards:
        planned, leaves = plan(list(wanted.values()), {}, dtype="float64", shard=shard)
        if kinds is not None:
            launched = [planned.kernels[launch.kernel].kind.partition("_")[0] for launch in planned.launches]
            assert sorted(kind for kind in launched if kind != "loops") == kinds
        inputs = {node.label: v for node, v in values.items()}
        machine = Machine(planned, leaves, inputs, {"N": n}, dtype=dtype, threads=threads)
        machine.run()
        for name, number, value in zip(wanted, planned.outputs, expected, strict=True):
            scale = max(1.0, numpy.abs(value).max())
            message = f"{name}: {n}, {c}, {k}, {image}, {window}, {options}, shard {shard}"
            numpy.testing.assert_allclose(
                machine.array(number), value, atol=TOLERANCE[dtype] * scale, rtol=0, err_msg=message
            )


ALL = ["convolution", "convolution", "correlation"]


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_filter_sizes_and_paddings(dtype, size):
    for padding in (0, size // 2, 3):
        extent = max(size - 2 * padding, 1) + 4
        direct = padding < size and size > 1
        check(dtype, 2, 3, 5, (extent, extent + 3), (size, size), padding=padding, kinds=ALL if direct else None)


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize("stride", [2, (1, 2), (3, 1)])
@pytest.mark.parametrize("dtype", ONE_AND_SLOW)
def test_strides(dtype, stride):
    cases = (0, (3, 3), (9, 11)), (0, (2, 5), (6, 7)), (1, (3, 3), (5, 5)), (1, (2, 5), (9, 11))
    for padding, window, image in cases:
        check(dtype, 2, 3, 4, image, window, padding=padding, stride=stride, shards=(True,), kinds=ALL)
    check(dtype, 2, 3, 4, (11, 12), (3, 2), stride=stride, padding=2, dilation=(2, 3), shards=(True,), kinds=ALL)


@pytest.mark.parametrize("dtype", ONE_AND_SLOW)
def test_phases(dtype):
    """The gradient of an image that was seen with steps above 1."""
    # more steps than the filter has elements: some elements of the image have no gradient
    check(dtype, 2, 20, 3, (9, 13), (3, 2), stride=4, threads=2, kinds=ALL)
    check(dtype, 2, 40, 2, (3, 9), (3, 3), stride=(1, 3), padding=1, groups=2, threads=3, kinds=ALL)
    # rows that are longer than what is computed together, and fewer columns than steps
    check(dtype, 1, 20, 2, (2, 401), (2, 3), stride=2, padding=1, kinds=ALL)
    check(dtype, 2, 4, 2, (5, 2), (3, 2), stride=3, padding=1)


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize("dtype", ONE_AND_SLOW)
def test_groups(dtype):
    for c, k, groups in ((4, 2, 2), (3, 3, 3), (2, 4, 2)):
        options = {"groups": groups, "threads": 2, "shards": (True,), "kinds": ALL}
        check(dtype, 3, c, k, (6, 7), (3, 3), padding=1, **options)
        check(dtype, 2, c, k, (7, 6), (3, 2), stride=2, **options)
    check(dtype, 3, 4, 2, (6, 7), (3, 3), groups=2, threads=3, padding=1, kinds=ALL)
    depthwise = {"gate": graphc.depthwise_conv2d, "padding": 1, "shards": (True,), "kinds": ALL}
    for c, k in ((3, 3), (4, 8), (1, 2), (1, 1)):
        check(dtype, 3, c, k, (6, 7), (3, 3), threads=3, **depthwise)
    check(dtype, 2, 3, 6, (7, 7), (3, 3), stride=(1, 2), dilation=(2, 1), **depthwise)


@pytest.mark.parametrize("dtype", ONE_AND_SLOW)
def test_groups_that_fill_vectors_of_maps(monkeypatch, dtype):
    monkeypatch.setattr(planning, "_LEAST_MAPS", 0.0)
    monkeypatch.setattr(planning, "_MAPS_SPEEDS", (1000.0, 1000.0))
    options = {"groups": 2, "padding": 1, "threads": 2}
    check(dtype, 3, 20, 36, (6, 7), (3, 3), **options, kinds=ALL, shards=(False, True))
    check(dtype, 2, 36, 20, (37,), (3,), **options, kinds=ALL)
    check(dtype, 2, 20, 36, (6, 7), (3, 3), **options, stride=2, kinds=ALL)
    found = [kernel.kind for kernel in plan([nodes(2, 20, 36, (6, 7), (3, 3), {"groups": 2})[0]["y"]], {})[0].kernels]
    assert "convolution_of_maps" in found


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize("dtype", DTYPES)
def test_signals(dtype):
    for width, size, padding in ((1, 1, 0), (1, 3, 1), (5, 3, 0), (17, 4, 3), (40, 5, 2), (9, 9, 0)):
        kinds = ALL if size > 1 else None
        check(dtype, 2, 3, 4, (width,), (size,), padding=padding, threads=2, kinds=kinds, shards=(True,))
    check(dtype, 3, 8, 6, (20,), (3,), groups=2, padding=1, kinds=ALL, shards=(True,))
    check(dtype, 2, 3, 4, (19,), (3,), gate=graphc.causal_conv1d, dilation=4, kinds=ALL, shards=(True,))
    for stride, dilation in ((2, 1), (3, 2), (2, 3)):
        # patches of a signal are few: the gradient of the filter is a product
        kinds = ["contraction", "convolution", "convolution"]
        options = {"stride": stride, "dilation": dilation, "padding": 2}
        check(dtype, 2, 3, 4, (23,), (3,), **options, kinds=kinds, shards=(True,))


def test_an_image_that_is_its_own_frame_is_not_copied():
    wanted, _ = nodes(2, 3, 5, (8, 9), (3, 3), {})
    planned, _ = plan([wanted["y"]], {})
    assert [planned.kernels[launch.kernel].kind for launch in planned.launches] == ["loops", "convolution"]


@pytest.mark.usefixtures("_vectors")
def test_widths_down_to_one(monkeypatch):
    for name in ("_FEW", "_FEW_POSITIONS"):
        monkeypatch.setattr(planning, name, 512)  # register tiles for few positions and elements
    for width in (1, 2, 3, 5, 15, 16, 17, 33):
        check("float32", 1, 2, 3, (4, width), (3, 3), padding=1, kinds=ALL)
    check("float32", 2, 2, 3, (1, 40), (1, 3), padding=(0, 1), kinds=ALL)
    check("float32", 2, 2, 3, (40, 1), (3, 2), padding=(1, 1), kinds=ALL)


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_channels_that_do_not_fill_a_tile(threads):
    for n, c, k in ((1, 1, 1), (3, 7, 6), (1, 7, 13), (3, 1, 25), (3, 7, 1), (1, 1, 6)):
        check("float32", n, c, k, (6, 7), (3, 3), padding=1, threads=threads, kinds=ALL, shards=(False, True))
    # many weights on small images: another order of the work
    check("float32", 3, 130, 67, (2, 3), (3, 3), padding=1, threads=threads, kinds=ALL)


@pytest.mark.usefixtures("_vectors")
@pytest.mark.parametrize(("dtype", "bits"), [("float32", 128), ("float32", 256), ("float32", 512), ("float64", 256)])
def test_vector_widths(monkeypatch, dtype, bits):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    lanes = vector_lanes(dtype)
    assert lanes == bits // {"float32": 32, "float64": 64}[dtype]
    for k, size, width in ((3, 3, lanes - 1), (11, 4, lanes), (11, 3, 2 * lanes + 1)):
        check(dtype, 2, 3, k, (5, width), (size, size), padding=2, threads=2, kinds=ALL)
    check(dtype, 2, 2 * lanes + 1, 3, (5, lanes + 3), (3, 3), padding=1, stride=2, kinds=ALL)


def test_results_do_not_depend_on_the_number_of_threads():
    generator = numpy.random.default_rng(3)
    x, w = (generator.standard_normal(s).astype("float32") for s in ((3, 8, 12, 11), (2, 5, 3, 3, 17)))
    t = numpy.zeros((3, 34, 10, 11), "float32")
    t[..., :9] = generator.standard_normal((3, 34, 10, 9))
    lanes = vector_lanes("float32")
    forward = emit_convolution("float32", tile("convolution", 17), lanes, unit=True)
    backward = emit_correlation("float32", tile("correlation", 17), lanes)
    shared = [3, 4, 17, 10, 9, 12, 11, *NINE]
    results = []
    for threads in (1, 2, 3, 50):
        y, dw = numpy.full((3, 34, 10, 9), numpy.nan, "float32"), numpy.full((34, 4, 3, 3), numpy.nan, "float32")
        call(forward, (x, w, y), shared, threads)
        call(backward, (x, t, dw), [*shared, 110, 0], threads)
        results.append((y, dw))
        writers = numpy.zeros(y.shape), numpy.zeros(dw.shape)
        for thread in range(threads):
            y, dw = numpy.full_like(y, numpy.nan), numpy.full_like(dw, numpy.nan)
            call(forward, (x, w, y), shared, threads, thread)
            call(backward, (x, t, dw), [*shared, 110, 0], threads, thread)
            for count, array in zip(writers, (y, dw), strict=True):
                count += numpy.isfinite(array)
        assert all((count == 1).all() for count in writers)  # no two threads write one element
    for y, dw in results:
        assert y.tobytes() == results[0][0].tobytes()
        assert dw.tobytes() == results[0][1].tobytes()


def test_nothing_is_read_or_written_outside():
    """Around every tensor lies what would show: NaN that is read, or a mark that is written over."""
    for lanes, (rows, columns) in itertools.product((4, 16), ((1, 1), (3, 5), (2, 16), (4, 17))):
        height, pitch = rows + 2, columns + 2
        sizes = [2 * 6 * height * pitch, 8 * 9 * 5, 2 * 10 * rows * columns]
        arrays = []
        for size in sizes:
            array = numpy.full(size + 200, numpy.nan, "float32")
            array[100:-100] = 1
            arrays.append(array)
        inner = [a[100:] for a in arrays]
        text = emit_convolution("float32", (3, 5), lanes, unit=True)
        call(text, inner, [2, 3, 5, rows, columns, height, pitch, *NINE])
        assert (arrays[2][100:-100] == 27).all()
        assert numpy.isnan(arrays[2][:100]).all()
        assert numpy.isnan(arrays[2][-100:]).all()
        t = numpy.zeros((2, 10, rows, pitch), "float32")
        t[..., :columns] = 1
        padded, dw = numpy.full(t.size + 200, numpy.nan, "float32"), numpy.full(10 * 27 + 200, numpy.nan, "float32")
        padded[100:-100] = t.reshape(-1)
        text = emit_correlation("float32", (4, 4), lanes)
        call(text, (inner[0], padded[100:], dw[100:]), [2, 3, 5, rows, columns, height, pitch, *NINE, rows * pitch, 0])
        assert (dw[100:-100] == 2 * rows * columns).all()
        assert numpy.isnan(dw[:100]).all()
        assert numpy.isnan(dw[-100:]).all()


@pytest.mark.parametrize("bits", [128, 512])
def test_no_double_in_float32_kernels(monkeypatch, bits):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    kinds = ("convolution", (1, 16, 0)), ("correlation", (0, 16))
    kinds += ("convolution_of_maps", (9, 16, 9)), ("convolution_of_phases", (9, 16, 9, 2, 2))
    kinds += ("convolution_of_runs", (3, 5, 2, 900, 27, 80)), ("correlation_of_runs", (3, 5, 2, 27, 900))
    for kind, literals in kinds:
        text = cache.llvm_text(emit_direct(kind, "float32", literals, shard=False))
        assert f"<{bits // 32} x float>" in text
        assert "double" not in text
        assert "f64" not in text
    lanes = vector_lanes("float32")
    text = cache.llvm_text(emit_correlation_of_maps("float32", lanes, 3, 40, shard=True))
    assert f"<{lanes} x float>" in text
    assert "double" not in text


def test_accumulators_stay_in_registers():
    for kind, literals in (("convolution", (1, 16, 0)), ("correlation", (0, 16))):
        text = cache.llvm_text(emit_direct(kind, "float32", literals, shard=False))
        assert not any("alloca <" in line for line in text.splitlines())


def test_sums_of_maps_write_and_read_their_own_only():
    """Each thread writes its own elements; NaN beside the maps that count goes nowhere."""
    generator = numpy.random.default_rng(3)
    for maps, taps in itertools.product((1, 6, 17, 70), (1, 3)):
        x = generator.standard_normal((3, 2, 4, 12, 11)).astype("float32")
        # the gradient of the result as it is, or somewhere in a frame
        top, left, height, pitch = (2, 1, 13, 11) if taps == 3 else (0, 0, 10, 9)
        framed = numpy.full((3, 2, maps, height, pitch), numpy.nan, "float32")
        t = framed[..., top : top + 10, left : left + 9]
        t[...] = generator.standard_normal(t.shape)
        text = emit_correlation_of_maps("float32", vector_lanes("float32"), taps, maps, shard=False)
        results = []
        for threads in (1, 2, 3, 50):
            dw = numpy.full((2, 4, 3, 3, maps), numpy.nan, "float32")
            arguments = [3, 4, maps, 10, 9, 12, 11, *NINE, height * pitch, top * pitch + left, pitch]
            call(text, (x, framed, dw), arguments, threads)
            results.append(dw.tobytes())
            writers = numpy.zeros(dw.shape)
            for thread in range(threads):
                dw = numpy.full_like(dw, numpy.nan)
                call(text, (x, framed, dw), arguments, threads, thread)
                writers += numpy.isfinite(dw)
            assert (writers == 1).all()
        assert len(set(results)) == 1
        seen = numpy.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(3, 4))[..., :9, :, :]
        expected = numpy.einsum("ngcijrs,ngkij->gcrsk", seen, t)
        found = numpy.frombuffer(results[0], "float32").reshape(expected.shape)
        numpy.testing.assert_allclose(found, expected, atol=2e-4)


def test_no_images_and_an_empty_sum():
    dw = numpy.full((4, 3, 3, 3), numpy.nan, "float32")
    x = numpy.zeros(0, "float32")
    call(emit_correlation("float32", (3, 2), 4), (x, x, dw), [0, 3, 2, 4, 4, 6, 6, *NINE, 24, 0, 6])
    assert (dw == 0).all()


def compiled(dtype, threads, *shape, **options):
    wanted, values = nodes(*shape, options)
    step = graphc.compile(list(wanted.values()), dtype=dtype, threads=threads)
    inputs = {node.label: value for node, value in values.items() if node.kind == "input"}
    step.parameters["w"][...] = next(value for node, value in values.items() if node.label == "w")
    kinds = [step.plan.kernels[launch.kernel].kind for launch in step.plan.launches]
    return step(**inputs), evaluate(list(wanted.values()), values), kinds


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_steps(dtype, threads):
    for options in ({"padding": "same"}, {"padding": 1, "stride": 2}, {"padding": "full"}, {"dilation": 2}):
        found, expected, kinds = compiled(dtype, threads, 3, 5, 18, (19, 21), (3, 3), **options)
        assert set(kinds) & DIRECT == DIRECT
        for a, b in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(a, b, atol=TOLERANCE[dtype] * max(1.0, numpy.abs(b).max()), rtol=0)


def test_frames_are_shared():
    """The image is copied once for the result and the weights, the gradient once for the weights and the image."""
    _, _, kinds = compiled("float32", 1, 3, 5, 6, (19, 21), (3, 3), padding=1)
    assert kinds.count("convolution") == 2
    assert kinds.count("correlation") == 1
    # two frames, two packed filters, the upstream gradient, zeros for the sums of each thread and the sum of these
    assert kinds.count("loops") <= 7


def test_what_does_not_pay_is_left_to_matrix_products(monkeypatch):
    monkeypatch.undo()
    for shape, options in (
        ((8, 16, 120, (5, 5), (5, 5)), {}),  # a dense layer in disguise
        ((8, 16, 16, (1, 1), (1, 1)), {}),
    ):
        wanted, _ = nodes(*shape, options)
        planned, _ = plan(list(wanted.values()), {})
        assert not {kernel.kind for kernel in planned.kernels} & DIRECT
    wanted, _ = nodes(8, 32, 12, (16, 16), (5, 5), {"padding": 2})
    planned, _ = plan(list(wanted.values()), {})
    assert {kernel.kind for kernel in planned.kernels} >= {"convolution", "correlation_of_maps"}


#: Tensors that end where a page begins that nobody may touch: reading beyond them ends the process.
_GUARDED = """
import itertools
from graphc.kernels.cpu.convolution import emit_convolution, emit_correlation
from graphc.kernels.cpu.maps import emit_convolution_of_maps, emit_convolution_of_phases
from graphc.kernels.cpu.maps import emit_correlation_of_maps, forward_tile
from tests.kernels.guarded import guarded
from tests.kernels.test_convolution import NINE, call


for lanes, (rows, columns), maps in itertools.product((4, 16), ((1, 1), (3, 5), (4, 17)), (1, 5)):
    height, pitch = rows + 2, columns + 2
    shared = [2, 3, maps, rows, columns, height, pitch, *NINE]
    x, w, y = guarded(12 * height * pitch), guarded(72 * maps), guarded(4 * maps * rows * columns)
    call(emit_convolution("float32", (3, min(maps, 3)), lanes, unit=True), (x, w, y), shared)
    t, dw = guarded(4 * maps * rows * pitch), guarded(54 * maps)
    call(emit_correlation("float32", (4, 3), lanes), (x, t, dw), [*shared, rows * pitch, 0, pitch])
    t, dw = guarded(4 * maps * rows * columns), guarded(54 * maps)
    whole = [*shared, rows * columns, 0, columns]
    for taps in (1, 3):
        call(emit_correlation_of_maps("float32", lanes, taps, maps, shard=False), (x, t, dw), whole)
    for many in (lanes * 5 // 8 + 1, lanes + 1, 2 * lanes + 1, 4 * lanes + 1) if maps == 1 else ():
        w, y = guarded(72 * many), guarded(4 * many * rows * columns)
        text = emit_convolution_of_maps("float32", lanes, forward_tile(many, columns, lanes), 9, shard=False)
        call(text, (x, w, y), [2, 3, many, *shared[3:]])
    for many in (lanes * 3 // 8 + 1, lanes + 1) if maps == 1 < columns else ():
        shape = [rows, columns, rows // 2 + 2, columns // 2 + 2]
        seen, w, y = guarded(12 * shape[2] * shape[3]), guarded(72 * many), guarded(4 * many * rows * columns)
        tile = forward_tile(many, columns // 2, lanes)
        text = emit_convolution_of_phases("float32", lanes, tile, 9, (2, 2), shard=False)
        call(text, (seen, w, y), [2, 3, many, *shape, 3, 3, 2, 2, 1, 1, 2, 1, 1])
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guards a page with mprotect")
def test_memory_beyond_the_tensors_is_never_touched():
    stays_whole(_GUARDED)
