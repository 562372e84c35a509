"""Recognising convolutions: the product of a sliding image and a filter, and its two adjoints.

One product of three tensors is meant, whichever of them is written::

    result[n,k,i,j]  image[n,c,sh*i + dh*r - top, sw*j + dw*s - left]  filter[k,c,r,s]

Derived statements first copy the operands to where a register tile reads them in unit steps:

- the image into a frame of zeros, ``(N, C, height, pitch)``; the zeros right of a row are those left of the next. With
  a step above 1 the elements that one filter element meets are brought together: ``(N, C, sh, sw, height, pitch)``.
- the filter as ``(C + 1, R, S, K)``: the last row is never used, only read beyond.

Then position ``p = i*pitch + j`` of the result meets ``image[p + offset of (r, s)]``. The kernels, arguments int64::

    convolution   addresses of image, filter, result, then
                  N, C, K, rows, columns, height, pitch, R, S, sh, sw, dh, dw
    convolution_of_maps
                  the same
    correlation   addresses of image, result, filter (written), then the same,
                  elements of a map of the result in its frame, the first of them that counts
    correlation_of_maps
                  addresses of image, result as it is, filter as (C, R, S, K) (written), then as for convolution

``rows`` and ``columns`` are those of the result. Literals: whether both steps are 1; ``K``, for the register tile.
The gradient of the image is the convolution of the result's gradient with the filter turned round (steps of 1 only).
The gradient of the filter is a *correlation* of the image with the result's gradient. Where maps fill vectors, it
runs on vectors of maps; else on vectors of positions, in a frame too: the zeros between its rows meet image elements
that do not count, so that an infinite one gives NaN where it should give nothing.

Groups, steps above 1 in the gradient of the image, and what does not pay (see `_share`) stay with patches and matrix
products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.formula.expression import Symbol
from graphc.formula.size import Extent
from graphc.formula.statement import Access, Affine, Axis, Interval, Statement, affine, size_name
from graphc.planning.contraction import _axis_extents, _product

__all__ = ["Convolution", "recognise_convolution"]

#: Floats of a wide vector, for estimates.
_LANES = 16
#: Measured beside patches and matrix products: the least `_share` of a gradient of the filter, its most pairs of maps
#: (the images are read again for each block of maps), and the length of a sum that is long.
_LEAST_FILTER, _MOST, _LONG = 0.55, 32_768, 2_048
#: The least part of vectors of maps that maps fill, beside vectors of positions.
_LEAST_MAPS = 0.65
#: Speed on vectors of positions and of maps, where these are full: one vector of maps in a tile, more; and terms of a
#: sum that storing it is worth.
_POSITIONS_SPEED, _POSITIONS_STORE = 0.92, 6
_MAPS_SPEEDS, _MAPS_STORE = (0.8, 1.0), 25


@dataclass(frozen=True)
class Convolution:
    """A convolution or correlation launch, the statements that prepare its operands, and what follows it."""

    kind: str
    statements: tuple[Statement, ...]
    tensors: Mapping[str, tuple[Extent, ...]]  # new tensors: name -> extents
    reads: tuple[str, str]
    #: Whether both steps are 1, K; of maps: columns, K, elements of the filter; of a correlation of maps: neighbours
    #: that one address serves, K.
    literals: tuple[int, ...]
    arguments: tuple[Extent, ...]
    work: Extent
    after: Statement | None = None  # reads what the launch writes, a new tensor


@dataclass(frozen=True)
class _Problem:
    """Names and numbers of a recognised product; extents as in the module's text."""

    image: str
    filter: str
    result: str
    n: Extent
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


def recognise_convolution(statement: Statement, sizes: Mapping[str, Extent], prefix: str) -> Convolution | None:
    """Recognise a convolution that its own kernel computes faster than a matrix product, or return None.

    Parameters
    ----------
    sizes : mapping
        Extent of each size name of the statement's tensors.
    prefix : str
        Of the names of new tensors.
    """
    found = _problem(statement, sizes)
    if found is None:
        return None
    target = statement.write.tensor
    if target == found.image:
        problem = _turned(found)
        if problem is None or _share(found, problem) < _least(problem):
            return None
        return _forward(problem, prefix, turned=True)
    share = _share(found, found)
    if target == found.filter:
        if _filled(found.k) >= _LEAST_MAPS:
            return _correlation_of_maps(found, prefix)
        return _correlation(found, prefix) if share >= _LEAST_FILTER and found.c * found.k < _MOST else None
    if found.r * found.s == 1 and (found.stride != (1, 1) or found.k > found.c):
        return None  # a matrix product already, of rows as long as an image
    return _forward(found, prefix, turned=False) if share >= _least(found) else None


def _least(problem: _Problem) -> float:
    """Least `_share` that pays: products of long sums keep a library busy on small images too."""
    return 0.25 if problem.c * problem.r * problem.s < _LONG else 0.55


def _share(wanted: _Problem, computed: _Problem) -> float:
    """Products that are wanted among those that the kernel computes; the bounds above are measured.

    The others belong to columns between rows, to what fills the last vector, and to zeros around a small image.
    """
    _, _, _, pitch = _framed(computed, "")
    positions = (computed.rows - 1) * pitch + computed.columns
    return wanted.rows * wanted.columns / (-(-positions // _LANES) * _LANES)


def _filled(maps: int) -> float:
    """Part of vectors of maps that maps fill."""
    return maps / (-(-maps // _LANES) * _LANES)


def _problem(statement: Statement, sizes: Mapping[str, Extent]) -> _Problem | None:
    accesses = _product(statement)
    if accesses is None or statement.accumulate:
        return None
    three = [*accesses, statement.write]
    if any(len(access.index) != 4 for access in three):
        return None
    image = next((a for a in three if not all(_plain(item) for item in a.index)), None)
    if image is None:
        return None
    rest = [a for a in three if a is not image]
    if not all(_plain(item) for a in rest for item in a.index) or not all(_plain(item) for item in image.index[:2]):
        return None
    n, c = (_plain(item) for item in image.index[:2])
    result = next((a for a in rest if _plain(a.index[0]) == n), None)
    if result is None:
        return None
    filters = rest[0] if rest[1] is result else rest[1]
    i, j, r, s = (_plain(a.index[d]) for a in (result, filters) for d in (2, 3))
    k = _plain(result.index[1])
    if (_plain(filters.index[0]), _plain(filters.index[1])) != (k, c) or len({n, k, c, i, j, r, s}) != 7:
        return None
    extents = _axis_extents(statement, sizes)
    if set(extents) != {n, k, c, i, j, r, s}:
        return None
    # each tensor is used whole
    for access in three:
        for d, item in enumerate(access.index):
            name = _plain(item)
            if name is not None and extents[name] != sizes[size_name(access.tensor, d)]:
                return None
    steps, spreads, before = [], [], []
    for item, place, window in zip(image.index[2:], (i, j), (r, s), strict=True):
        assert isinstance(item, Affine)
        if set(item.names()) != {place, window} or item.constant > 0:
            return None
        step, spread = item.coefficient(place or ""), item.coefficient(window or "")
        if step < 1 or spread < 1:
            return None
        steps.append(step)
        spreads.append(spread)
        before.append(-item.constant)
    for guard in statement.guards:
        d = next((d for d in (2, 3) if isinstance(guard, Interval) and guard.index == image.index[d]), None)
        if d is None or not isinstance(guard, Interval):
            return None
        # an adjoint dx is guarded by the extents of x
        if sizes.get(guard.upper.plain() or "") != sizes[size_name(image.tensor, d)]:
            return None
    numbers = [extents[name or ""] for name in (c, k, i, j, r, s)]
    numbers += [sizes[size_name(image.tensor, d)] for d in (2, 3)]
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        return None
    channels, maps, rows, columns, r_, s_, h, w = (int(str(number)) for number in numbers)
    return _Problem(
        image.tensor, filters.tensor, result.tensor, extents[n or ""], channels, maps, rows, columns, h, w, r_, s_,
        (steps[0], steps[1]), (spreads[0], spreads[1]), (before[0], before[1]),
    )  # fmt: skip


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
    p = problem
    return _Problem(
        p.result, p.filter, p.image, p.n, p.k, p.c, p.h, p.w, p.rows, p.columns, p.r, p.s,
        p.stride, p.dilation, (before[0], before[1]),
    )  # fmt: skip


def _framed(p: _Problem, prefix: str) -> tuple[Statement, tuple[Extent, ...], int, int]:
    """The statement that copies the image into its frame of zeros; extents, height and pitch of the frame."""
    (sh, sw), (dh, dw), (top, left) = p.stride, p.dilation, p.before
    target, source = f"{prefix}.framed.{p.image}", p.image
    if p.stride == (1, 1):
        right = max(0, p.columns - 1 + (p.s - 1) * dw - left - (p.w - 1))
        pitch = max(p.w + max(left, right), p.columns)
        last = (p.rows - 1 + (p.r - 1) * dh) * pitch + p.columns - 1 + (p.s - 1) * dw
        height = max(last // pitch + 1, top + p.h)
        shape: tuple[Extent, ...] = (p.n, p.c, height, pitch)
        axes = ("n", "c", "i", "j")
        index = affine({"i": 1}, -top), affine({"j": 1}, -left)
    else:
        pitch = p.columns + (p.s - 1) * dw // sw
        height = p.rows + (p.r - 1) * dh // sh
        shape = (p.n, p.c, sh, sw, height, pitch)
        axes = ("n", "c", "a", "b", "i", "j")
        index = affine({"i": sh, "a": 1}, -top), affine({"j": sw, "b": 1}, -left)
    write = Access(target, tuple(affine(axis) for axis in axes))
    guards = tuple(Interval(form, affine(size_name(source, d))) for d, form in zip((2, 3), index, strict=True))
    read = Access(source, (affine("n"), affine("c"), *index))
    domain = tuple(Axis(axis, affine(size_name(target, d))) for d, axis in enumerate(axes))
    return Statement(write, "set", domain, (("v", read),), Symbol("v"), guards), shape, height, pitch


def _forward(p: _Problem, prefix: str, *, turned: bool) -> Convolution:
    """The convolution kernel; ``turned`` reads the filter from its end, with the roles of its maps exchanged."""
    framed, shape, height, pitch = _framed(p, prefix)
    target = f"{prefix}.packed.{p.filter}"
    r, s = affine("r"), affine("s")
    if turned:
        r, s = affine({"r": -1}, p.r - 1), affine({"s": -1}, p.s - 1)
    write = Access(target, (affine("k" if turned else "c"), r, s, affine("c" if turned else "k")))
    index = tuple(affine(axis) for axis in "kcrs")
    domain = tuple(Axis(axis, affine(size_name(p.filter, d))) for d, axis in enumerate("kcrs"))
    packed = Statement(write, "set", domain, (("v", Access(p.filter, index)),), Symbol("v"))
    # vectors of maps compute nothing between rows; vectors of positions need no maps to fill them
    terms = p.c * p.r * p.s
    of_positions = _POSITIONS_SPEED * _share(p, p) * terms / (terms + _POSITIONS_STORE)
    of_maps = _MAPS_SPEEDS[p.k > _LANES] * _filled(p.k) * terms / (terms + _MAPS_STORE) > of_positions
    of_maps = of_maps and _filled(p.k) > 0.5  # so that reading whole vectors ends in the row that is never used
    return Convolution(
        "convolution_of_maps" if of_maps else "convolution",
        (framed, packed),
        {framed.write.tensor: shape, target: (p.c + 1, p.r, p.s, p.k)},
        (framed.write.tensor, target),
        (p.columns, p.k, p.r * p.s) if of_maps else (int(p.stride == (1, 1)), p.k),
        _arguments(p, height, pitch),
        _work(p),
    )


def _correlation(p: _Problem, prefix: str) -> Convolution:
    framed, shape, height, pitch = _framed(p, prefix)
    back = _turned(p)
    frame = None if back is None else _framed(back, prefix)
    if back is not None and frame is not None and frame[3] == pitch:
        # the frame that the gradient of the image uses: one copy serves both
        other, extents, rows, _ = frame
        first = back.before[0] * pitch + back.before[1]
    else:
        rows, first = p.rows, 0
        extents = (p.n, p.k, p.rows, pitch)
        axes = tuple(affine(axis) for axis in "nkij")
        target = f"{prefix}.framed.{p.result}"
        domain = tuple(Axis(axis, affine(size_name(p.result, d))) for d, axis in enumerate("nkij"))
        other = Statement(Access(target, axes), "set", domain, (("v", Access(p.result, axes)),), Symbol("v"))
    return Convolution(
        "correlation",
        (framed, other),
        {framed.write.tensor: shape, other.write.tensor: extents},
        (framed.write.tensor, other.write.tensor),
        (0, p.k),
        (*_arguments(p, height, pitch), rows * pitch, first),
        _work(p),
    )


def _correlation_of_maps(p: _Problem, prefix: str) -> Convolution:
    framed, shape, height, pitch = _framed(p, prefix)
    target = f"{prefix}.summed.{p.filter}"
    domain = tuple(Axis(axis, affine(size_name(p.filter, d))) for d, axis in enumerate("kcrs"))
    write = Access(p.filter, tuple(affine(axis) for axis in "kcrs"))
    read = Access(target, tuple(affine(axis) for axis in "crsk"))
    return Convolution(
        "correlation_of_maps",
        (framed,),
        {framed.write.tensor: shape, target: (p.c, p.r, p.s, p.k)},
        (framed.write.tensor, p.result),
        (p.s if p.stride[1] == p.dilation[1] == 1 and p.s <= 8 else 1, p.k),
        _arguments(p, height, pitch),
        _work(p),
        Statement(write, "set", domain, (("v", read),), Symbol("v")),
    )


def _arguments(p: _Problem, height: int, pitch: int) -> tuple[Extent, ...]:
    return (p.n, p.c, p.k, p.rows, p.columns, height, pitch, p.r, p.s, *p.stride, *p.dilation)


def _work(p: _Problem) -> Extent:
    """FLOP, a multiply-add counts 2."""
    return p.n * (2 * p.c * p.k * p.rows * p.columns * p.r * p.s)
