"""attention: ``y[i] = sum(p[i,j]*value[j], j)`` with ``p`` the softmax over ``j`` of ``query[i] . key[j] / sqrt(D)``.

Every position looks at all others and takes a mean of their values, weighted by how well their keys fit its query.

Shapes: ``query (..., T, D)``, ``key (..., S, D)`` and ``value (..., S, E)`` give ``(..., T, E)``; ``mask``
broadcasts to ``(..., T, S)``. The leading axes, two at most, are the same in all three.
Derivatives: those of a softmax between two matrix products; by ``mask`` that of the scores, summed where it repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    query, key, value, *mask = shapes
    if not 2 <= len(query) <= 4 or not len(query) == len(key) == len(value):
        found = ", ".join(map(shape_text, shapes))
        raise ShapeError(f"attention needs (..., T, D), (..., S, D), (..., S, E) of one rank, 2 to 4, found {found}")
    full = (*query[:-1], key[-2])
    fits = [m in (1, f) for m, f in zip(mask[0][::-1], full[::-1], strict=False)] if mask else []
    if mask and (len(mask[0]) > len(full) or not all(fits)):
        raise ShapeError(f"the mask {shape_text(mask[0])} does not broadcast to the scores {shape_text(full)}")
    return attributes


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    leading = "nh"[: len(shapes[0]) - 2]

    def at(tensor: str, axes: str) -> str:
        return f"{tensor}[{','.join(leading + axes)}]"

    score = f"{at('product', 'ij')}/sqrt(size(query,{len(shapes[0]) - 1}))"
    if len(shapes) == 4:
        letters = (leading + "ij")[len(leading) + 2 - len(shapes[3]) :]
        # an extent of 1 is read again and again
        index = ["0" if extent == 1 else letter for extent, letter in zip(shapes[3], letters, strict=True)]
        score += f" + mask[{','.join(index)}]" if index else " + mask"
    if attributes["causal"]:
        score = f"{score} if j <= i else -inf"
    lines = (
        f"{at('product', 'ij')} = sum({at('query', 'id')}*{at('key', 'jd')}, d)",
        f"{at('score', 'ij')} = {score}",
        f"{at('weight', 'ij')} = exp({at('score', 'ij')})",
        f"{at('total', 'i')} = sum({at('weight', 'ij')}, j)",
        f"{at('mixed', 'ie')} = sum({at('weight', 'ij')}*{at('value', 'je')}, j)",
        f"{at('y', 'ie')} = {at('mixed', 'ie')}/{at('total', 'i')}",
    )
    return Definition("\n".join(lines))


def _stable(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    product, line, *rest = _definition(shapes, attributes).text.splitlines()
    score = line.partition(" = ")[0]
    top = score.replace("score", "top").replace(",j]", "]").replace("[i,j]", "[i]")
    # `//` has derivative 0: what is taken out of the exponent, so that it cannot overflow, has none either
    rest = [text.replace(f"exp({score})", f"exp({score} - {top}//1)") for text in rest]
    return Definition("\n".join((product, line, f"{top} = max({score}, j)", *rest)))


GATE = Gate(
    "attention",
    _definition,
    ("query", "key", "value", "mask"),
    symbol="attention",
    stable=_stable,
    attributes={"causal": False},
    prepare=_prepare,
    optional=1,
    samples=(
        Sample(((3, 2), (4, 2), (4, 3))),
        # scores log(3) and 0: weights 3/4 and 1/4
        Sample(((1, 1), (2, 1), (2, 1)), values=(([[1.0986123]], [[1.0], [0.0]], [[4.0], [8.0]]), [[5.0]])),
        Sample(((1, 2, 3, 2), (1, 2, 3, 2), (1, 2, 3, 1)), {"causal": True}),
        Sample(((2, 2, 3), (2, 4, 3), (2, 4, 1), (2, 1, 4))),
        Sample(((3, 1), (2, 1), (2, 2), (3, 2)), {"causal": True}),
    ),
    source="Vaswani et al., NeurIPS (2017), eq. 1",
)


def attention(query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False) -> Node:
    """Scaled dot-product attention.

    Parameters
    ----------
    query : Node, shape (..., T, D)
        What each of T positions looks for.
    key : Node, shape (..., S, D)
        What each of S positions offers.
    value : Node, shape (..., S, E)
        What is averaged.
    mask : Node, shape that broadcasts to (..., T, S), optional
        Added to the scores; -inf forbids a pair.
    causal : bool, default False
        Whether position i sees only the positions up to i.

    Returns
    -------
    Node, shape (..., T, E)

    Raises
    ------
    ShapeError
        If the ranks differ or are not 2 to 4, an extent does not agree, or the mask does not broadcast.

    Notes
    -----
    The weights of a position whose scores are all -inf are NaN. Cost: 2*T*S*(D + E) FLOP and 2*T*S transcendental
    calls for each of the leading axes.

    Source
    ------
    Vaswani et al., NeurIPS (2017), eq. 1

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 8, 100, 64))
    >>> graphc.attention(x, x, x, causal=True).shape
    (N, 8, 100, 64)
    """
    return GATE(query, key, value, *(() if mask is None else (mask,)), causal=causal)
