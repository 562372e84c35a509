"""Linear-chain conditional random field: the loss of a whole sequence of tags, and the best sequence.

A sequence of tags has the score of its tags, of each pair of neighbours, and of how it begins and ends. Its probability
is the exponential of that, divided by the sum over all sequences, which a recurrence adds up in T steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from graphc.errors import DataError
from graphc.graph import Definition, Gate, Node, Shape, parameter, registry, shape_text
from graphc.graph.unroll import unroll
from graphc.layers.initialisers import zeros
from graphc.layers.parts import numbers, refusal

__all__ = ["crf", "viterbi"]

_REDUCTIONS = ("mean", "sum", "none")


def _length(known: bool, sequence: str) -> tuple[str, str, dict[str, str]]:
    """Lines that check the lengths, the number of steps of example n, and extents for these lines."""
    if not known:
        return "", f"size({sequence},0)", {}
    # the length goes through a table of the lengths that there are, so that the check of indices refuses others
    return "steps[s] = s\nlength[n] = steps[lengths[n]]\n", "length[n]", {"s": f"size({sequence},0) + 1"}


def _path(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    lines, length, extents = _length(len(shapes) == 7, "scores")
    return Definition(
        f"{lines}here[t,n] = scores[t,n,tags[t,n]]\n"
        "move[t,n] = transition[previous[t,n],tags[t,n]] if t > 0 else start[tags[t,n]]\n"
        f"leave[t,n] = end[tags[t,n]] if t == {length} - 1 else 0\n"
        f"y[n] = sum(here[t,n] + move[t,n] + leave[t,n] if t < {length} else 0, t)",
        integers=frozenset({"tags", "previous", "lengths"}),
        extents=extents | {"t": "size(scores,0)"},
    )


def _behind(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    lines, length, extents = _length(len(shapes) == 2, "z")
    text = f"{lines}y[n] = sum(z[t,n] if t == {length} - 1 else 0, t)"
    return Definition(text, integers=frozenset({"lengths"}), extents=extents)


def _stable(k: str, edge: str) -> str:
    """Logarithm of a sum of exponentials over the tags j before."""
    # `//` has derivative 0: what is taken out of the exponents, so that they cannot overflow, has none either
    at = f"[n,{k}]" if k else "[n]"
    return (
        f"top{at} = max(before[n,j] + {edge}, j)\ny{at} = logsumexp(before[n,j] + {edge} - top{at}//1, j) + top{at}//1"
    )


# sizes come from the sequence, whose values are not read: a number of examples known at run time only
_BEGIN = Gate(
    "first tag",
    Definition("y[n,k] = start[k]", extents={"n": "size(scores,1)"}),
    ("start", "scores"),
    source="Definition",
)
_NEXT = Gate(
    "all ways to a tag", "y[n,k] = logsumexp(before[n,j] + transition[j,k], j)", ("before", "transition"),
    symbol="LSE", stable=_stable("k", "transition[j,k]"), source="Lafferty et al., ICML (2001), section 3",
)  # fmt: skip
_LEAVE = Gate(
    "all ways to the end", "y[n] = logsumexp(before[n,j] + end[j], j)", ("before", "end"),
    symbol="LSE", stable=_stable("", "end[j]"), source="Lafferty et al., ICML (2001), section 3",
)  # fmt: skip
_PATH = Gate(
    "score of a path", _path, ("scores", "tags", "previous", "transition", "start", "end", "lengths"),
    symbol="path", optional=1, source="Lafferty et al., ICML (2001), section 3",
)  # fmt: skip
_BEHIND = Gate("at the last step", _behind, ("z", "lengths"), symbol="last", optional=1, source="Definition")


def _check(name: str, scores: Node, tags: Node, lengths: Node | None, reduction: str) -> int:
    numbers("crf", name, scores, (3,), "scores (T, N, K), steps first", (2,))
    if not scores.is_float:
        raise refusal(
            "crf", name, f"scores are floats, found {scores.label!r} {scores.dtype}, declared at {scores.site}"
        )
    if tags.is_float or tags.shape != scores.shape[:2]:
        reason = f"tags are one whole number for each step of {scores.label!r}, {shape_text(scores.shape[:2])}"
        found = f"{tags.label!r} {shape_text(tags.shape)} {tags.dtype}, declared at {tags.site}"
        raise refusal("crf", name, f"{reason}; found {found}")
    if lengths is not None and (lengths.is_float or lengths.shape != (scores.shape[1],)):
        reason = f"lengths are one whole number for each example, shape {shape_text((scores.shape[1],))}"
        found = f"{lengths.label!r} {shape_text(lengths.shape)} {lengths.dtype}, declared at {lengths.site}"
        raise refusal("crf", name, f"{reason}; found {found}")
    if reduction not in _REDUCTIONS:
        raise refusal("crf", name, f"reduction={reduction!r} must be one of {', '.join(map(repr, _REDUCTIONS))}")
    count = scores.shape[2]
    assert isinstance(count, int)  # `numbers` has seen to it
    return count


def crf(scores: Node, tags: Node, *, name: str, lengths: Node | None = None, reduction: str = "mean") -> Node:
    """Negative log-probability of the true tags under a linear-chain conditional random field, in nats.

    ``p = exp(start[tags[0]] + sum of scores[t,tags[t]] + sum of transition[tags[t-1],tags[t]] + end[tags[T-1]]) / Z``

    Parameters
    ----------
    scores : Node, shape (T, N, K)
        Of each of K tags at each step, for example a dense layer on a recurrent one; K is a number.
    tags : Node, shape (T, N), whole numbers
        True tags, 0 to K - 1; beyond the length of an example any of them.
    name : str
        Parameters are named ``name.transition`` (K, K), from the tag before to the next, ``name.start`` (K,) and
        ``name.end`` (K,); all 0 at first.
    lengths : Node, shape (N,), whole numbers, optional
        Steps of each example, from 0 to T. What stands beyond them changes neither the loss nor a gradient, as long
        as it is finite.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over the examples, or one loss for each, (N,).

    Returns
    -------
    Node, scalar, or shape (N,)

    Raises
    ------
    ShapeError
        If the scores have another rank, tags or lengths do not fit them, or the reduction does not exist.
    DataError
        Of the compiled step, if a tag or a length is out of its range.

    Notes
    -----
    Parameters: ``K*(K + 2)``. Z is a sum over K**T sequences, added up from step to step; the gradient of its
    logarithm by a score is the probability of that tag at that step. Nothing overflows.
    Cost: T*N*K*(K + 1) exp, once again on the way back.

    Source
    ------
    Lafferty, McCallum, Pereira, ICML (2001), section 3; on a recurrent layer: Huang, Xu, Yu, arXiv:1508.01991 (2015).

    Examples
    --------
    >>> import graphc
    >>> scores = graphc.input("scores", (2, 1, 2), dtype="float64")
    >>> tags = graphc.input("tags", (2, 1), dtype="int32")
    >>> loss = graphc.layers.crf(scores, tags, name="chain")
    >>> zeros = {"chain.transition": [[0, 0], [0, 0]], "chain.start": [0, 0], "chain.end": [0, 0]}
    >>> run = graphc.backward(loss).at(scores=[[[1, 0]], [[0, 0]]], tags=[[0], [1]], parameters=zeros)
    >>> print(run.value(loss).round(4), run.grad("scores")[:, 0].round(4).tolist())
    1.0064 [[-0.2689, 0.2689], [0.5, -0.5]]
    """
    count = _check(name, scores, tags, lengths, reduction)
    transition = parameter(f"{name}.transition", (count, count), initial=zeros())
    start = parameter(f"{name}.start", (count,), initial=zeros())
    end = parameter(f"{name}.end", (count,), initial=zeros())

    def step(here: Node, before: Node) -> tuple[Node, Node]:
        ways = registry.call("add", before, here)
        # every example ends at a step of its own: both what it would be to end here and to go on are kept
        return _LEAVE(ways, end), _NEXT(ways, transition)

    ended, _ = unroll(step, scores, _BEGIN(start, scores), name=name)
    known = () if lengths is None else (lengths,)
    previous = registry.function("pad")(tags, ((1, 0), (0, 0)))
    path = _PATH(scores, tags, previous, transition, start, end, *known)
    loss = registry.call("sub", _BEHIND(ended, *known), path)
    return (loss if reduction == "none" else registry.function(reduction)(loss)).named(name)


def viterbi(scores: Any, transition: Any, start: Any, end: Any, lengths: Any = None) -> numpy.ndarray:
    """Find the most probable sequence of tags.

    Parameters
    ----------
    scores : array, shape (T, N, K)
        Of each tag at each step.
    transition, start, end : array, shapes (K, K), (K,) and (K,)
        Parameters of `crf`.
    lengths : array, shape (N,), optional
        Steps of each example, from 0 to T.

    Returns
    -------
    numpy.ndarray of int32, shape (T, N)
        Tags, and -1 beyond the length of an example. At a tie the lower tag wins, decided from the end.

    Raises
    ------
    DataError
        If shapes do not fit each other, or a length is out of its range.

    Source
    ------
    Viterbi, IEEE Trans. Information Theory 13 (1967); Rabiner, Proc. IEEE 77 (1989), section III.B.

    Examples
    --------
    >>> import graphc
    >>> scores = [[[1, 0]], [[0, 0.5]]]
    >>> graphc.layers.viterbi(scores, [[0, -1], [0, 0]], [0, 0], [0, 0])[:, 0].tolist()
    [0, 0]
    """
    scores, transition, start, end = (numpy.asarray(a, dtype="float64") for a in (scores, transition, start, end))
    found = f"scores {scores.shape}, transition {transition.shape}, start {start.shape}, end {end.shape}"
    if scores.ndim != 3 or (transition.shape, start.shape, end.shape) != (
        (scores.shape[2],) * 2,
        *(scores.shape[2:],) * 2,
    ):
        raise DataError(f"viterbi needs scores (T, N, K), transition (K, K), start (K,) and end (K,); found {found}")
    steps, count, _ = scores.shape
    lengths = numpy.full(count, steps) if lengths is None else numpy.asarray(lengths)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iu" or not ((lengths >= 0) & (lengths <= steps)).all():
        raise DataError(f"lengths must be {count} whole numbers from 0 to {steps}, found {lengths.tolist()}")
    best = start + scores[0]  # score of the best way to each tag
    ways = [best]
    for here in scores[1:]:
        best = (best[:, :, None] + transition).max(axis=1) + here
        ways.append(best)
    tags = numpy.full((steps, count), -1, dtype="int32")
    for t in reversed(range(steps)):
        onward = end if t == steps - 1 else numpy.where((lengths == t + 1)[:, None], end, transition[:, tags[t + 1]].T)
        tags[t] = numpy.where(t < lengths, (ways[t] + onward).argmax(axis=1), -1)
    return tags
