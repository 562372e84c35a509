"""masked_conv2d: a convolution that sees only the elements before its own, row by row.

``m[k,c,r,s] = w[k,c,r,s] if r < centre or r == centre and s < centre else 0``, then ``conv2d`` with ``m``

An image is modelled element by element, each given those above it and to its left. Kind A, for the first layer,
leaves out the element itself; kind B, for later layers, sees it.

Shapes: ``x (N, C, H, W)``, ``w (K, C, R, S)`` with odd R and S give ``(N, K, H', W')`` as ``conv2d`` does.
Derivatives: those of ``conv2d`` with ``m``; weights that are masked have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.window import check_ranks, slide, window_attributes, window_definition


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("masked_conv2d", 2, shapes, "(K, C, R, S)")
    x, w = shapes
    if attributes["kind"] not in ("A", "B"):
        raise ShapeError(f"kind={attributes['kind']!r} must be 'A' (without the element itself) or 'B' (with it)")
    if any(not isinstance(extent, int) or extent % 2 == 0 for extent in w[2:]):
        raise ShapeError(f"the filters need odd extents, so that they have a centre; found {shape_text(w)}")
    return window_attributes(attributes, x[2:], w[2:])


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    row, column = (int(str(extent)) // 2 for extent in shapes[1][2:])
    before = {"A": "<", "B": "<="}[attributes["kind"]]
    text = f"""m[k,c,r,s] = w[k,c,r,s] if r < {row} or (r == {row} and s {before} {column}) else 0
        y[n,k,i,j] = sum(x[n,c,{slide(2)}] * m[k,c,r,s], c, r, s)"""
    return window_definition(text, attributes, ["size(w,2)", "size(w,3)"])


GATE = Gate(
    "masked_conv2d",
    _definition,
    ("x", "w"),
    symbol="∗ masked",
    attributes={"kind": "A", "padding": "same"},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 2, 4, 3), (3, 2, 3, 3)),
            values=(([[[[1.0, 2.0], [3.0, 5.0]]]], [[[[1.0] * 3] * 3]]), [[[[0.0, 1.0], [3.0, 6.0]]]]),
            source="By hand: the sum of the neighbours before each element",
        ),
        Sample(
            ((2, 2, 4, 3), (3, 2, 3, 3)),
            {"kind": "B"},
            values=(([[[[1.0, 2.0], [3.0, 5.0]]]], [[[[1.0] * 3] * 3]]), [[[[1.0, 3.0], [6.0, 11.0]]]]),
            source="By hand: the same with the element itself",
        ),
        Sample(((1, 1, 6, 5), (2, 1, 5, 3)), {"padding": (2, 0)}),
        Sample(((1, 2, 1, 1), (1, 2, 1, 1)), {"kind": "B", "padding": "valid"}),
    ),
    source="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel recurrent neural networks, ICML (2016), section 3.4",
)


def masked_conv2d(x: Any, w: Any, *, kind: str = "A", padding: Any = "same") -> Node:
    """Convolution (cross-correlation) of images with the half of each filter that lies before its centre.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    w : Node, shape (K, C, R, S)
        Filters with odd extents; half of their weights are not used.
    kind : {"A", "B"}, default "A"
        Whether the centre is masked ("A") or not ("B").
    padding : int, (int, int), "valid", "same" or "full", default "same"
        Zeros around the image, in elements on each side.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, an extent of the filters is even, or the kind is another.

    Notes
    -----
    The mask is the same for all channels. Cost: 2*N*K*H'*W'*C*R*S FLOP.

    Source
    ------
    van den Oord, Kalchbrenner, Kavukcuoglu, Pixel recurrent neural networks, ICML (2016), section 3.4.

    Examples
    --------
    >>> import graphc
    >>> w = graphc.input("w", (1, 1, 3, 3))
    >>> y = graphc.sum(graphc.masked_conv2d([[[[1.0]]]], w, kind="B", padding=1))
    >>> run = graphc.backward(y).at(w=[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    >>> print(run.value(y), run.grad("w")[0, 0].tolist())
    5.0 [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return GATE(x, w, kind=kind, padding=padding)
