"""Recognising convolutions: the product of a sliding image and a filter, and its two adjoints.

One product of three tensors is meant, whichever of them is written::

    result[n,k,i,j]  image[n,c,sh*i + dh*r - top, sw*j + dw*s - left]  filter[k,c,r,s]

With groups ``g`` a result meets the channels of its own group: ``K*g + k`` stands for ``k`` in result and filter and
``C*g + c`` for ``c`` in the image. A depthwise filter ``[g,k,r,s]`` has ``C = 1``. In memory the groups of an image are
images of ``C`` channels, one behind the other. A signal ``[n,c,sw*j + dw*s - left]`` is an image of one row.

Derived statements first copy the operands to where a register tile reads them in unit steps:

- the image into a frame of zeros, ``(N, groups*C, height, pitch)``; the zeros right of a row are those left of the
  next. With a step above 1 the elements that one filter element meets are brought together:
  ``(N, groups*C, sh, sw, height, pitch)``; of filters with one element only these, and steps are 1 from there on. An
  image that is its own frame is not copied.
- the filter as ``(groups, C + 1, R, S, K)``: the last row of a group is never used, only read beyond.

Then position ``p = i*pitch + j`` of the result meets ``image[p + offset of (r, s)]``. The kernels, arguments int64::

    convolution   addresses of image, filter, result, then
                  N, C, K, rows, columns, height, pitch, R, S, sh, sw, dh, dw, groups
    convolution_of_maps
                  the same
    convolution_of_phases
                  the same, then top, left
    convolution_of_runs
                  addresses of the image as it is, filter, result, then as for convolution with height and pitch those
                  of the image, top, left, rows that are computed together
    correlation   addresses of image, result, filter (written), then as for convolution, then where the result lies:
                  elements of a map, the first of them that counts, the pitch of its rows, which is that of the image
    correlation_of_maps
                  the same with the filter as (groups, C, R, S, K), and any pitch of the result's rows
    correlation_of_runs
                  addresses of the image as it is, result, filter (written), then as for convolution with height and
                  pitch those of the image, then where the result lies (a pitch of at most twice its columns), top, left

``C`` and ``K`` are those of a group; ``rows`` and ``columns`` are those of the result. Literals: see
`Convolution.literals`. Where maps fill vectors, vectors of maps compute nothing between rows (``_of_maps``). Where
channels are few, neither frame nor full vectors of maps are needed: the kernel makes copies of a few rows, one for each
column of the filter, in which the positions of the result are one run (``_of_runs``).

The gradient of the image is the convolution of the result's gradient with the filter turned round. With a step above 1
its positions come in *phases*: those with the same remainder of ``i + top`` and ``j + left`` by the steps meet the same
elements of the filter, and for them it is a convolution with steps of 1. Then ``image`` stands for the result's
gradient, behind ``(R - 1)*dh // sh`` rows and ``(S - 1)*dw // sw`` columns of zeros, and ``result`` for the image's.
The gradient of the filter is a *correlation* of the image with the result's gradient. Where maps fill vectors, it
runs on vectors of maps; else on vectors of positions, in a frame too: the zeros between its rows meet image elements
that do not count, so that an infinite one gives NaN where it should give nothing.

Filters of 3x3 with steps of 1 take tiles, see `graphc.planning.winograd`.

What does not pay (see `_share`) stays with patches and matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from graphc.formula.expression import Symbol
from graphc.formula.size import Extent
from graphc.formula.statement import Access, Affine, Axis, Interval, Statement, affine, size_name
from graphc.planning.contraction import _axis_extents, _product, _radix
from graphc.planning.target import Target
from graphc.planning.winograd import (
    Prepared,
    finished,
    prepared,
    rounded,
    tile_of,
    tile_of_sums,
    work_of_tiles,
)

__all__ = ["Convolution", "recognise_convolution"]

#: Measured beside patches and matrix products: the least `_share` of a gradient of the filter, its most pairs of maps
#: (the images are read again for each block of maps), and the length of a sum that is long.
_LEAST_FILTER, _MOST, _LONG = 0.55, 32_768, 2_048
#: Filter elements that one register tile of a correlation holds at most.
_FEW = 12
#: Positions that few register tiles of a convolution hold, so that what is left of these counts.
_FEW_POSITIONS = 512
#: The least part of vectors of maps that maps fill in the gradient of an image, with steps above 1.
_LEAST_PHASES = 0.35
#: The least part of vectors of maps that maps fill, beside vectors of positions.
_LEAST_MAPS = 0.65
#: Elements that kernels on runs copy together (they stay in the second cache), and vectors of sums that they hold.
_COPIED, _HELD = 24 * 1024, 4 * 1024
#: Cycles that copying a vector takes, and beginning with those below each other; vectors of positions that ending a
#: register tile of sums along them is worth.
_COPY, _CALL, _TILE = 2.0, 50.0, 2.6
#: Cycles that copying an element into a frame takes, with steps of 1 and above; runs must be that much faster.
_FRAME, _SURE = (0.4, 2.0), 0.92
#: Gradients of filters: terms of a sum that storing it is worth on vectors of maps, speed on vectors of positions,
#: and the least speed on runs that is faster than patches.
_MAPS_SUMS, _POSITIONS_SUMS, _LEAST_RUNS = 12, 0.75, 0.5
#: Speed on vectors of positions and of maps, where these are full: one vector of maps in a tile, more; and terms of a
#: sum that storing it is worth.
_POSITIONS_SPEED, _POSITIONS_STORE = 0.92, 6
#: Vectors of positions of a register tile.
_BLOCK = 8
#: Speed on one vector of positions alone, beside several.
_ALONE = 0.6
_MAPS_SPEEDS, _MAPS_STORE = (0.8, 1.0), 25


@dataclass(frozen=True)
class Convolution:
    """A convolution or correlation launch, the statements that prepare its operands, and what follows it."""

    kind: str
    statements: tuple[Statement, ...]
    tensors: Mapping[str, tuple[Extent, ...]]  # new tensors: name -> extents
    reads: tuple[str, str]
    #: Whether both steps are 1, K, positions where these are few, else 0. By tiles: columns, K, of a correlation C,
    #: size. Of maps: columns, K, elements of the filter. Of phases: columns of the smallest phase, K, elements of the
    #: filter, steps. Of a correlation: elements of a filter in all channels where these are few, else 0, K. Of a
    #: correlation of maps: neighbours that one address serves, K. Of runs: columns of the filter, K, step of columns,
    #: elements that are copied together, elements of a filter in all channels, positions that are computed together; of
    #: a correlation of runs: the first three, elements of a filter in all channels, elements that are copied together
    #: at most.
    literals: tuple[int, ...]
    arguments: tuple[Extent, ...]
    work: Extent
    after: Statement | None = None  # reads what the launch writes, a new tensor
    prepared: Prepared | None = None  # a launch behind the statements that makes an operand
    finished: Prepared | None = None  # a launch that reads what the launch writes, and writes what ``after`` reads


@dataclass(frozen=True)
class _Problem:
    """Names and numbers of a recognised product; extents as in the module's text, for a signal those of one row."""

    image: str
    filter: str
    result: str
    n: Extent
    groups: int
    c: int
    k: int
    rows: int
    columns: int
    h: int
    w: int
    r: int
    s: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]  # top, left
    #: The first two indices of the filter, in ``g``, ``k`` and ``c``.
    places: tuple[Affine, Affine]
    signal: bool
    target: Target

    @property
    def grouped(self) -> bool:
        """Whether the formula has an axis of groups."""
        return any("g" in item.names() for item in self.places)

    def axes(self, text: str) -> tuple[str, ...]:
        """Names of axes, without those of the rows of a signal and of groups that are not there."""
        missing = ("a", "i", "r") if self.signal else ()
        return tuple(name for name in text if name not in missing and (name != "g" or self.grouped))


def recognise_convolution(
    statement: Statement, sizes: Mapping[str, Extent], prefix: str, target: Target
) -> Convolution | None:
    """Recognise a convolution that its own kernel computes faster than a matrix product, or return None.

    Parameters
    ----------
    sizes : mapping
        Extent of each size name of the statement's tensors.
    prefix : str
        Of the names of new tensors.
    target : Target
        Whose kernels there are.
    """
    found = _problem(statement, sizes, target) if "convolution" in target.schedules else None
    if found is None:
        return None
    written = statement.write.tensor
    if written == found.image:
        if found.stride != (1, 1):
            return _phases(found, prefix)
        problem = _turned(found)
        if problem is None or _share(found, problem) < _least(problem):
            return None
        return _forward(problem, prefix, turned=True)
    if written == found.filter:
        if found.signal and found.stride != (1, 1):
            return None  # patches of a signal are few
        if _runs_sum(found):
            return _correlation_of_runs(found)
        if _filled(found) >= _LEAST_MAPS:
            return _correlation_of_maps(found, prefix)
        return _correlation(found, prefix) if _pays(found) else None
    if found.r * found.s == 1 and (found.stride != (1, 1) or found.k > found.c):
        return None  # a matrix product already, of rows as long as an image
    return _forward(found, prefix, turned=False) if _share(found, found) >= _least(found) else None


def _pays(problem: _Problem) -> bool:
    """Whether the gradient of a filter on vectors of positions does."""
    return _share(problem, problem) >= _LEAST_FILTER and problem.c * problem.k < _MOST


def _least(problem: _Problem) -> float:
    """Least `_share` that pays: products of long sums keep a library busy on small images too."""
    return 0.25 if problem.c * problem.r * problem.s < _LONG else 0.55


def _share(wanted: _Problem, computed: _Problem) -> float:
    """Products that are wanted among those that the kernel computes; the bounds above are measured.

    The others belong to columns between rows, to what fills the last vector, and to zeros around a small image.
    """
    positions = _positions(computed, _framed(computed, ""))
    lanes = wanted.target.lanes
    return wanted.rows * wanted.columns / (-(-positions // lanes) * lanes)


def _positions(p: _Problem, frame: _Frame) -> int:
    """From the first that counts to the last."""
    return (p.rows - 1) * frame.pitch + p.columns


def _filled(p: _Problem) -> float:
    """Part of vectors of maps that maps fill."""
    return p.k / (-(-p.k // p.target.lanes) * p.target.lanes)


def _loads(p: _Problem) -> float:
    """How many times as long as its multiply-adds a step of a tile of eight vectors of positions takes to load."""
    return max(1.0, (2 * _BLOCK + p.k) / (_BLOCK * p.k))


def _reach(p: _Problem) -> tuple[int, int]:
    """Phases of rows that elements of a filter meet, and rows of a phase that they reach beyond those of the result."""
    last = (p.r - 1) * p.dilation[0]
    return min(p.stride[0], last + 1), last // p.stride[0]


def _piece(p: _Problem) -> int:
    """Rows of the result that a kernel on runs computes from what it copies together; 0 where it does not serve."""
    phases, reach = _reach(p)
    most = _COPIED // (p.c * p.s * phases * p.columns) - reach
    if most < 1:
        return 0
    piece = -(-p.rows // -(-p.rows // most))
    return piece if piece * p.columns >= p.target.lanes else 0


def _speed_of_runs(p: _Problem, piece: int, tile: float = 0.0) -> float:
    """Part of the peak that a kernel on runs reaches, where ending a tile is worth that many vectors of positions."""
    lanes, (phases, reach) = p.target.lanes, _reach(p)
    pieces, vectors = -(-p.rows // piece), -(-piece * p.columns // lanes)
    copied = p.c * phases * -(-p.columns // lanes) * (_COPY * p.stride[1] * p.s * (piece + reach) + _CALL)
    computed = p.c * p.r * p.s * p.k * vectors / 2
    share = p.rows * p.columns / (pieces * vectors * lanes)
    return _SURE * share / (_loads(p) + copied / computed + tile / vectors)


def _with_frames(p: _Problem, speed: float, *frames: _Frame) -> float:
    """The speed of another kernel where copying into frames counts."""
    # the first extent is that of the batch
    sizes = [(prod(int(str(extent)) for extent in frame.extents[1:]), max(frame.stride) > 1) for frame in frames]
    copied = sum(size * _FRAME[strided] for size, strided in sizes)
    ideal = p.groups * p.c * p.r * p.s * p.k * p.rows * p.columns / p.target.lanes / 2
    return 1 / (1 / max(speed, 1e-3) + copied / ideal)


def _problem(statement: Statement, sizes: Mapping[str, Extent], target: Target) -> _Problem | None:
    accesses = _product(statement)
    if accesses is None or statement.accumulate:
        return None
    three = [*accesses, statement.write]
    rank = len(statement.write.index)
    if rank not in (3, 4) or any(len(access.index) != rank for access in three):
        return None
    image = next((a for a in three if not all(_plain(item) for item in a.index[2:])), None)
    if image is None:
        return None
    rest = [a for a in three if a is not image]
    n = _plain(image.index[0])
    result = next((a for a in rest if _plain(a.index[0]) == n), None)
    if n is None or result is None:
        return None
    filters = rest[0] if rest[1] is result else rest[1]
    extents = _axis_extents(statement, sizes)
    maps = _maps(image, result, filters, extents)
    if maps is None:
        return None
    renamed, places = maps
    if not all(_plain(item) for a in (result, filters) for item in a.index[2:]):
        return None
    slides = [(_plain(result.index[d]) or "", _plain(filters.index[d]) or "") for d in range(2, rank)]
    names = [n, *renamed.values(), *(name for pair in slides for name in pair)]
    if len(set(names)) != len(names) or set(extents) != set(names):
        return None
    # each tensor is used whole
    for access in three:
        for d, item in enumerate(access.index):
            if (access is not image or d < 2) and not _counts(item, extents, sizes[size_name(access.tensor, d)]):
                return None
    steps, spreads, before = [], [], []
    for item, (place, window) in zip(image.index[2:], slides, strict=True):
        assert isinstance(item, Affine)
        if set(item.names()) != {place, window} or item.constant > 0:
            return None
        step, spread = item.coefficient(place), item.coefficient(window)
        if step < 1 or spread < 1:
            return None
        steps.append(step)
        spreads.append(spread)
        before.append(-item.constant)
    for guard in statement.guards:
        if not isinstance(guard, Interval):
            return None
        # an adjoint dx is guarded by the extents of x; groups count through all channels
        extent = sizes.get(guard.upper.plain() or "")
        own = (sizes[size_name(a.tensor, d)] for a in three for d in range(rank) if guard.index == a.index[d])
        if extent is None or extent not in own:
            return None
    numbers = [extents[renamed[name]] if name in renamed else 1 for name in "gck"]
    numbers += [extents[name] for pair in slides for name in pair]
    numbers += [sizes[size_name(image.tensor, d)] for d in range(2, rank)]
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        return None
    groups, channels, own_maps, *shape = (int(str(number)) for number in numbers)
    rows, r, columns, s, h, w = shape if rank == 4 else (1, 1, *shape[:2], 1, shape[2])
    one = [1] * (4 - rank)
    (sh, sw), (dh, dw), (top, left) = one + steps, one + spreads, [0] * (4 - rank) + before
    return _Problem(
        image.tensor, filters.tensor, result.tensor, extents[n], groups, channels, own_maps, rows, columns, h, w, r, s,
        (sh, sw), (dh, dw), (top, left), places, rank == 3, target,
    )  # fmt: skip


def _maps(
    image: Access, result: Access, filters: Access, extents: Mapping[str, Extent]
) -> tuple[dict[str, str], tuple[Affine, Affine]] | None:
    """Which axes are ``g``, ``c`` and ``k``, and the first two indices of the filter in these names."""
    channel, maps, *first = image.index[1], result.index[1], *filters.index[:2]
    forms = [item for item in (channel, maps, *first) if isinstance(item, Affine)]
    if len(forms) != 4:
        return None
    shared = set(forms[0].names()) & set(forms[1].names())
    if len(shared) > 1:
        return None
    group = next(iter(shared), None)
    names = {} if group is None else {"g": group}
    for letter, form in zip("ck", forms, strict=False):
        own = [name for name in form.names() if name != group]
        if len(own) > 1 or (not own and letter == "k"):
            return None
        if own:
            names[letter] = own[0]
    if len(set(names.values())) != len(names) or any(name not in extents for name in names.values()):
        return None
    letters = {name: affine(letter) for letter, name in names.items()}
    places = forms[2].substitute(letters), forms[3].substitute(letters)
    if group is None:
        expected = affine("k"), affine("c")
    elif "c" in names:
        expected = forms[1].substitute(letters), affine("c")
    else:
        expected = affine("g"), affine("k")
    return (names, places) if places == expected else None


def _counts(item: object, extents: Mapping[str, Extent], whole: Extent) -> bool:
    """Whether an index runs through a whole extent: an axis, or groups of one."""
    if not isinstance(item, Affine) or any(name not in extents for name in item.names()):
        return False
    # an axis of one element, a group of one channel, may have any coefficient
    long = Affine(tuple(term for term in item.terms if extents[term[0]] != 1), item.constant)
    return _radix(long, extents) and whole == prod(extents[name] for name in long.names())


def _plain(item: object) -> str | None:
    return item.plain() if isinstance(item, Affine) else None


def _turned(problem: _Problem) -> _Problem | None:
    """The gradient of the image as a convolution of the result's gradient with the filter turned round."""
    if problem.stride != (1, 1):
        return None
    before = tuple(
        spread * (size - 1) - first
        for spread, size, first in zip(problem.dilation, (problem.r, problem.s), problem.before, strict=True)
    )
    if min(before) < 0:
        return None
    return _exchanged(problem, (before[0], before[1]))


def _exchanged(p: _Problem, before: tuple[int, int]) -> _Problem:
    """The roles of image and result exchanged."""
    exchanged = {"c": affine("k"), "k": affine("c")}
    return replace(
        p, image=p.result, result=p.image, c=p.k, k=p.c, rows=p.h, columns=p.w, h=p.rows, w=p.columns,
        before=before, places=(p.places[0].substitute(exchanged), p.places[1].substitute(exchanged)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """A tensor with zeros around it, and the statement that copies it there; None where none is needed."""

    tensor: str
    copied: Statement | None
    extents: tuple[Extent, ...]
    height: int
    pitch: int
    stride: tuple[int, int]  # of the window in the frame

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statement, if any."""
        return () if self.copied is None else (self.copied,)

    @property
    def tensors(self) -> dict[str, tuple[Extent, ...]]:
        """The new tensor, if any."""
        return {} if self.copied is None else {self.tensor: self.extents}


def _framed(p: _Problem, prefix: str) -> _Frame:
    """Where a kernel reads the image."""
    (sh, sw), (dh, dw), (top, left) = p.stride, p.dilation, p.before
    target, source = f"{prefix}.framed.{p.image}", p.image
    alone = p.r == p.s == 1  # meets one element of each step
    unit = alone or p.stride == (1, 1)
    if p.stride == (1, 1) and not p.signal:
        right = max(0, p.columns - 1 + (p.s - 1) * dw - left - (p.w - 1))
        pitch = max(p.w + max(left, right), p.columns)
        last = (p.rows - 1 + (p.r - 1) * dh) * pitch + p.columns - 1 + (p.s - 1) * dw
        height = max(last // pitch + 1, top + p.h)
    else:
        pitch = p.columns + (p.s - 1) * dw // sw
        height = p.rows + (p.r - 1) * dh // sh
    if p.stride == (1, 1) and p.before == (0, 0) and (height, pitch) == (p.h, p.w):
        return _Frame(source, None, (), height, pitch, (1, 1))
    axes = p.axes("ncij" if unit else "ncabij")
    extents = {"n": p.n, "c": p.groups * p.c, "a": sh, "b": sw, "i": height, "j": pitch}
    index = affine({"i": sh}, -top), affine({"j": sw}, -left)
    if not unit:
        index = index[0] + affine("a"), index[1] + affine("b")
    slides = index[1:] if p.signal else index
    write = Access(target, tuple(affine(axis) for axis in axes))
    guards = tuple(Interval(form, affine(size_name(source, d))) for d, form in enumerate(slides, 2))
    read = Access(source, (affine("n"), affine("c"), *slides))
    domain = tuple(Axis(axis, affine(size_name(target, d))) for d, axis in enumerate(axes))
    statement = Statement(write, "set", domain, (("v", read),), Symbol("v"), guards)
    return _Frame(target, statement, tuple(extents[axis] for axis in axes), height, pitch, (1, 1) if unit else p.stride)


def _packed(p: _Problem, prefix: str, *, turned: bool) -> tuple[Statement, tuple[Extent, ...]]:
    """The statement that lays out the filter, and the extents of what it writes."""
    target = f"{prefix}.packed.{p.filter}"
    axes = p.axes("gcrsk")
    extents = {"g": p.groups, "c": p.c, "r": p.r, "s": p.s, "k": p.k}
    source = (*p.places, *(affine(axis) for axis in p.axes("rs")))
    used = {name for item in source for name in item.names()}
    # each extent by the name of a size where one has it: then kernels serve many shapes
    named = {item.plain(): affine(size_name(p.filter, d)) for d, item in enumerate(source) if item.plain()}
    domain = tuple(Axis(axis, named.get(axis, Affine((), extents[axis]))) for axis in axes if axis in used)
    turn = {axis: affine({axis: -1}, int(extents[axis]) - 1) for axis in p.axes("rs")} if turned else {}
    write = Access(target, tuple(turn.get(axis, affine(axis) if axis in used else Affine(())) for axis in axes))
    statement = Statement(write, "set", domain, (("v", Access(p.filter, source)),), Symbol("v"))
    return statement, tuple(extents[axis] + (axis == "c") for axis in axes)


def _forward(p: _Problem, prefix: str, *, turned: bool) -> Convolution:
    """The convolution kernel; ``turned`` reads the filter from its end."""
    size = tile_of(p)
    if size:
        return _by_tiles(p, prefix, size, turned=turned)
    packed, extents = _packed(p, prefix, turned=turned)
    # vectors of maps compute nothing between rows; vectors of positions need no maps to fill them
    terms = p.c * p.r * p.s
    frame = _framed(p, prefix)
    positions = _positions(p, frame)
    of_positions = _POSITIONS_SPEED * _share(p, p) / _loads(p)
    of_positions *= terms / (terms + _POSITIONS_STORE * max(1.0, _BLOCK / p.k))
    of_positions *= _ALONE if positions <= p.target.lanes else 1.0
    of_maps = _MAPS_SPEEDS[p.k > p.target.lanes] * _filled(p) * terms / (terms + _MAPS_STORE)
    of_maps *= _filled(p) > 0.5  # so that reading whole vectors ends in the row that is never used
    piece = _piece(p)
    if piece and _speed_of_runs(p, piece) > _with_frames(p, max(of_positions, of_maps), frame):
        phases, reach = _reach(p)
        copied = p.c * p.s * phases * (piece + reach) * p.columns
        return Convolution(
            "convolution_of_runs",
            (packed,),
            {packed.write.tensor: extents},
            (p.image, packed.write.tensor),
            (p.s, p.k, p.stride[1], copied, terms, piece * p.columns),
            (*_arguments(p, _unframed(p)), *p.before, piece),
            _work(p),
        )
    literals = int(frame.stride == (1, 1)), p.k, positions if positions < _FEW_POSITIONS else 0
    return Convolution(
        "convolution_of_maps" if of_maps > of_positions else "convolution",
        (*frame.statements, packed),
        {**frame.tensors, packed.write.tensor: extents},
        (frame.tensor, packed.write.tensor),
        (p.columns, p.k, p.r * p.s) if of_maps > of_positions else literals,
        _arguments(p, frame),
        _work(p),
    )


def _by_tiles(p: _Problem, prefix: str, size: int, *, turned: bool) -> Convolution:
    """The convolution kernel on tiles; ``turned`` reads the filter from its end."""
    frame = _framed(rounded(p, size), prefix)
    packed, extents = _packed(p, prefix, turned=turned)
    filters = prepared(p, packed.write.tensor, prefix, size)
    return Convolution(
        "convolution_by_tiles",
        (*frame.statements, packed),
        {**frame.tensors, packed.write.tensor: extents, filters.written: filters.extents},
        (frame.tensor, filters.written),
        (p.columns, p.k, size),
        _arguments(p, frame),
        work_of_tiles(p, size),
        prepared=filters,
    )


def _phases(found: _Problem, prefix: str) -> Convolution | None:
    """The gradient of an image that was seen with a step above 1."""
    p = _exchanged(found, found.before)
    (sh, sw), (dh, dw), (top, left) = p.stride, p.dilation, p.before
    if p.columns < sw or p.r * p.s == 1 or _filled(p) < _LEAST_PHASES:
        return None
    above, before = (p.r - 1) * dh // sh, (p.s - 1) * dw // sw
    # all that the last position meets, as if one element of a filter met it
    rows, columns = above + (p.rows - 1 + top) // sh + 1, before + (p.columns - 1 + left) // sw + 1
    seen = replace(p, stride=(1, 1), dilation=(1, 1), rows=rows, columns=columns, r=1, s=1, before=(above, before))
    frame = _framed(seen, prefix)
    packed, extents = _packed(p, prefix, turned=False)
    return Convolution(
        "convolution_of_phases",
        (*frame.statements, packed),
        {**frame.tensors, packed.write.tensor: extents},
        (frame.tensor, packed.write.tensor),
        (p.columns // sw, p.k, p.r * p.s, sh, sw),
        (*_arguments(p, replace(frame, stride=p.stride)), top, left),
        _work(found),
    )


def _correlation(p: _Problem, prefix: str) -> Convolution:
    frame = _framed(p, prefix)
    back = _turned(p)
    other = None if back is None else _framed(back, prefix)
    first, rows = 0, p.rows
    if p.columns == frame.pitch or p.rows == 1:
        # nothing lies between rows
        other = _Frame(p.result, None, (), p.rows, p.columns, (1, 1))
    elif back is not None and other is not None and other.pitch == frame.pitch:
        # the frame that the gradient of the image uses: one copy serves both
        first, rows = back.before[0] * frame.pitch + back.before[1], other.height
    else:
        axes = p.axes("nkij")
        index = tuple(affine(axis) for axis in axes)
        target = f"{prefix}.framed.{p.result}"
        domain = tuple(Axis(axis, affine(size_name(p.result, d))) for d, axis in enumerate(axes))
        copied = Statement(Access(target, index), "set", domain, (("v", Access(p.result, index)),), Symbol("v"))
        other = _Frame(target, copied, (p.n, p.groups * p.k, p.rows, frame.pitch), p.rows, frame.pitch, (1, 1))
    elements = p.c * p.r * p.s
    return Convolution(
        "correlation",
        (*frame.statements, *other.statements),
        {**frame.tensors, **other.tensors},
        (frame.tensor, other.tensor),
        (elements if elements <= _FEW else 0, p.k),
        (*_arguments(p, frame), rows * other.pitch, first, other.pitch),
        _work(p),
    )


def _runs_sum(p: _Problem) -> bool:
    """Whether a kernel on runs computes the gradient of the filter fastest."""
    elements, piece = p.c * p.r * p.s, _piece(p)
    # its rows may be up to twice as long, where the result has zeros between its own
    phases, reach = _reach(p)
    room = p.c * p.s * phases * (1 + reach) * 2 * p.columns
    if not piece or room > _COPIED or elements * p.k > _HELD or tile_of_sums(p):
        return False
    if _filled(p) >= _LEAST_MAPS:
        other = _with_frames(p, _filled(p) * elements / (elements + _MAPS_SUMS), _framed(p, ""))
    elif _pays(p):
        between = _Frame(p.result, None, (p.n, p.groups * p.k, p.rows, _framed(p, "").pitch), 0, 0, (1, 1))
        other = _with_frames(p, _POSITIONS_SUMS * _share(p, p), _framed(p, ""), between)
    else:
        other = _LEAST_RUNS
    return _speed_of_runs(p, piece, _TILE) > other


def _correlation_of_runs(p: _Problem) -> Convolution:
    return Convolution(
        "correlation_of_runs",
        (),
        {},
        (p.image, p.result),
        (p.s, p.k, p.stride[1], p.c * p.r * p.s, _COPIED),
        (*_arguments(p, _unframed(p)), p.rows * p.columns, 0, p.columns, *p.before),
        _work(p),
    )


def _correlation_of_maps(p: _Problem, prefix: str) -> Convolution:
    frame = _framed(p, prefix)
    target = f"{prefix}.summed.{p.filter}"
    axes = p.axes("gcrsk")
    extents = {"g": p.groups, "c": p.c, "r": p.r, "s": p.s, "k": p.k}
    domain = tuple(Axis(axis, affine(size_name(target, d))) for d, axis in enumerate(axes))
    write = Access(p.filter, (*p.places, *(affine(axis) for axis in p.axes("rs"))))
    read = Access(target, tuple(affine(axis) for axis in axes))
    found = Convolution(
        "correlation_of_maps",
        frame.statements,
        {**frame.tensors, target: tuple(extents[axis] for axis in axes)},
        (frame.tensor, p.result),
        (p.s if p.stride[1] == p.dilation[1] == 1 and p.s <= 8 else 1, p.k),
        (*_arguments(p, frame), p.rows * p.columns, 0, p.columns),
        _work(p),
        Statement(write, "set", domain, (("v", read),), Symbol("v")),
    )
    size = tile_of_sums(p)
    if not size:
        return found
    last = finished(p, target, prefix, size)
    return replace(
        found,
        kind="correlation_by_tiles",
        tensors={**found.tensors, last.read: last.extents},
        literals=(p.columns, p.k, p.c, size),
        work=work_of_tiles(p, size),
        finished=last,
    )


def _unframed(p: _Problem) -> _Frame:
    """The image as it is."""
    return _Frame(p.image, None, (), p.h, p.w, p.stride)


def _arguments(p: _Problem, frame: _Frame) -> tuple[Extent, ...]:
    shape = p.n, p.c, p.k, p.rows, p.columns, frame.height, frame.pitch
    return (*shape, p.r, p.s, *frame.stride, *p.dilation, p.groups)


def _work(p: _Problem) -> Extent:
    """FLOP, a multiply-add counts 2."""
    return p.n * (2 * p.groups * p.c * p.k * p.rows * p.columns * p.r * p.s)
