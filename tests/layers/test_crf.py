"""Conditional random field: against all sequences of tags, against differences, and its best sequence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import DataError, ShapeError

L = graphc.layers
NAMES = ("chain.transition", "chain.start", "chain.end")


def drawn(steps: int, count: int, tags: int, seed: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data and parameters."""
    generator = numpy.random.default_rng(seed)
    data = {"scores": generator.normal(size=(steps, count, tags)), "tags": generator.integers(0, tags, (steps, count))}
    shapes = ((tags, tags), (tags,), (tags,))
    return data, {name: generator.normal(size=shape) for name, shape in zip(NAMES, shapes, strict=True)}


def score(path: tuple[int, ...], scores: Any, parameters: dict[str, Any]) -> float:
    """Score of one sequence of tags, as the definition says."""
    transition, start, end = (parameters[name] for name in NAMES)
    total = start[path[0]] + end[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
    return total + sum(transition[a, b] for a, b in itertools.pairwise(path))


def counted(data: dict[str, Any], parameters: dict[str, Any]) -> tuple[list[float], list[tuple[int, ...]], Any]:
    """Losses, best sequences and marginals of each example, over all sequences of tags."""
    steps, count, tags = data["scores"].shape
    losses, best, marginals = [], [], numpy.zeros((steps, count, tags))
    for n, length in enumerate(data.get("lengths", [steps] * count)):
        own = data["scores"][:, n]
        paths = list(itertools.product(range(tags), repeat=length)) if length else []
        logarithms = numpy.array([score(path, own, parameters) for path in paths])
        if not length:
            losses.append(0.0)
            best.append(())
            continue
        z = numpy.log(numpy.exp(logarithms).sum())
        losses.append(z - score(tuple(data["tags"][:length, n]), own, parameters))
        best.append(paths[int(logarithms.argmax())])
        for path, logarithm in zip(paths, logarithms, strict=True):
            marginals[numpy.arange(length), n, path] += numpy.exp(logarithm - z)
    return losses, best, marginals


def declared(shape: tuple[Any, ...], *, lengths: bool = False, dtype: str = "float64", reduction: str = "none"):
    scores = graphc.input("scores", shape, dtype=dtype)
    tags = graphc.input("tags", shape[:2], dtype="int32")
    known = graphc.input("lengths", shape[1:2], dtype="int32") if lengths else None
    return L.crf(scores, tags, name="chain", lengths=known, reduction=reduction)


SHAPES = [(4, 5, 3), (1, 3, 3), (4, 2, 1), (1, 1, 1), (2, 3, 2)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_the_loss_is_that_over_all_sequences_and_its_gradients_are_those_of_the_reference(sizes, lengths, dtype):
    steps, count, tags = sizes
    data, parameters = drawn(*sizes)
    if lengths:
        data["lengths"] = numpy.array([steps, 1, steps - 1, 0, 1])[:count]
    expected, _, _ = counted(data, parameters)
    losses = declared((steps, "N", tags), lengths=lengths, dtype=dtype)
    total = graphc.sum(losses * losses)  # so that the upstream gradients differ
    run = graphc.backward(total).at(parameters=parameters, **data)
    assert run.value(losses) == pytest.approx(numpy.array(expected), rel=1e-12, abs=1e-12)

    step = graphc.compile([total, losses], gradients=["scores", *NAMES], dtype=dtype, threads=1)
    for name, value in parameters.items():
        step.parameters[name][...] = value
    (_, found), gradients = step(**data)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert found == pytest.approx(numpy.array(expected), rel=tolerance, abs=tolerance)
    for name, gradient in gradients.items():
        scale = max(1.0, float(numpy.abs(run.grad(name)).max()))
        assert numpy.abs(gradient - run.grad(name)).max() <= tolerance * scale, name


@pytest.mark.parametrize("lengths", [False, True])
def test_gradients_against_central_differences(lengths):
    data, parameters = drawn(4, 3, 3)
    if lengths:
        data["lengths"] = numpy.array([4, 2, 3])
    loss = declared((4, 3, 3), lengths=lengths, reduction="mean")
    run = graphc.backward(loss).at(parameters=parameters, **data)
    arrays = {"scores": data["scores"], **parameters}
    for name, array in arrays.items():
        for position in numpy.ndindex(array.shape):
            ends = []
            for side in (1e-5, -1e-5):
                moved = array.copy()
                moved[position] += side
                own = parameters | {name: moved} if name in parameters else parameters
                ends.append(numpy.mean(counted(data | {name: moved} if name == "scores" else data, own)[0]))
            slope = (ends[0] - ends[1]) / 2e-5
            assert float(run.grad(name)[position]) == pytest.approx(slope, rel=1e-6, abs=1e-8), (name, position)


def test_the_gradient_by_the_scores_is_the_marginals_less_the_true_tags():
    data, parameters = drawn(4, 5, 3)
    data["lengths"] = numpy.array([4, 1, 3, 2, 4])
    _, _, marginals = counted(data, parameters)
    run = graphc.backward(declared((4, 5, 3), lengths=True, reduction="sum")).at(parameters=parameters, **data)
    true = numpy.eye(3)[data["tags"]] * (numpy.arange(4)[:, None] < data["lengths"])[..., None]
    assert run.grad("scores") == pytest.approx(marginals - true, abs=1e-12)
    present = marginals.sum(axis=2)
    assert present == pytest.approx((numpy.arange(4)[:, None] < data["lengths"]).astype(float), abs=1e-12)


def test_what_stands_in_the_padding_changes_nothing():
    data, parameters = drawn(5, 3, 3)
    data["lengths"] = numpy.array([5, 2, 3])
    loss = declared((5, "N", 3), lengths=True, reduction="mean")
    step = graphc.compile([loss], gradients=["scores", *NAMES], dtype="float64", threads=1)
    for name, value in parameters.items():
        step.parameters[name][...] = value
    before, slopes = step(**data)
    before, slopes = before[0].copy(), {name: slope.copy() for name, slope in slopes.items()}
    beyond = numpy.arange(5)[:, None] >= data["lengths"]
    data["scores"] = numpy.where(beyond[..., None], 1e4, data["scores"])
    data["tags"] = numpy.where(beyond, 2, data["tags"])
    after, changed = step(**data)
    assert after[0] == before
    for name, slope in slopes.items():
        assert (changed[name] == slope).all(), name
    assert not changed["scores"][beyond].any()


def test_means_sums_and_a_number_of_steps_known_at_run_time():
    data, parameters = drawn(3, 4, 2)
    losses = counted(data, parameters)[0]
    for reduction, expected in (("mean", numpy.mean(losses)), ("sum", numpy.sum(losses))):
        step = graphc.compile([declared(("T", "N", 2), reduction=reduction)], dtype="float64", threads=1)
        for name, value in parameters.items():
            step.parameters[name][...] = value
        assert float(step(**data)[0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_scores_overflow_nowhere(dtype):
    # the true sequence is by far the best, then by far not
    scores = numpy.zeros((3, 1, 2))
    scores[:, :, 0] = 3000.0
    losses = declared((3, 1, 2), dtype=dtype)
    step = graphc.compile([losses, graphc.sum(losses)], dtype=dtype, threads=1)
    for tag, expected in ((0, 0.0), (1, 9000.0)):
        assert float(step(scores=scores, tags=numpy.full((3, 1), tag))[1]) == pytest.approx(
            expected, rel=1e-6, abs=1e-3
        )
    run = graphc.backward(graphc.sum(losses)).at(
        scores=scores,
        tags=numpy.ones((3, 1), int),
        parameters={n: numpy.zeros((2, 2) if n == NAMES[0] else 2) for n in NAMES},
    )
    assert run.grad("scores")[:, 0].tolist() == [[1.0, -1.0]] * 3


def test_without_transitions_it_is_the_softmax_cross_entropy_of_each_step():
    data, _ = drawn(4, 3, 5)
    loss = declared((4, 3, 5), reduction="sum")
    scores, tags = graphc.input("scores", (12, 5), dtype="float64"), graphc.input("tags", (12,), dtype="int32")
    zero = {name: numpy.zeros((5, 5) if name == NAMES[0] else 5) for name in NAMES}
    flat = {"scores": data["scores"].reshape(12, 5), "tags": data["tags"].reshape(12)}
    run = graphc.backward(loss).at(parameters=zero, **data)
    peer = graphc.backward(graphc.softmax_cross_entropy(scores, tags) * 12.0).at(**flat)
    assert float(run.value(loss)) == pytest.approx(float(peer.value(peer.back.root)), rel=1e-12)
    assert run.grad("scores").reshape(12, 5) == pytest.approx(peer.grad("scores"), abs=1e-12)


# ---- the best sequence --------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, (4, 1, 3, 0, 2)])
@pytest.mark.parametrize("tags", [1, 2, 3])
def test_the_best_sequence_is_the_best_of_all(tags, lengths):
    for seed in range(5):
        data, parameters = drawn(4, 5, tags, seed)
        if lengths is not None:
            data["lengths"] = numpy.array(lengths)
        _, best, _ = counted(data, parameters)
        transition, start, end = (parameters[name] for name in NAMES)
        found = L.viterbi(data["scores"], transition, start, end, data.get("lengths"))
        assert found.dtype == "int32"
        for n, path in enumerate(best):
            assert found[: len(path), n].tolist() == list(path)
            assert (found[len(path) :, n] == -1).all()


def test_at_a_tie_the_lower_tag_wins():
    assert L.viterbi(numpy.zeros((3, 1, 4)), numpy.zeros((4, 4)), numpy.zeros(4), numpy.zeros(4)).tolist() == [[0]] * 3


# ---- refusals ------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_with_the_shapes_that_were_found():
    scores = graphc.input("scores", (4, "N", 3))
    tags = graphc.input("tags", (4, "N"), dtype="int32")
    floats = graphc.input("floats", (4, "N"))
    lengths = graphc.input("lengths", (4,), dtype="int32")
    whole = graphc.input("whole", (4, "N", 3), dtype="int32")
    flat, open_end = graphc.input("flat", ("N", 3)), graphc.input("open", (4, "N", "K"))
    for made, message in (
        (lambda: L.crf(flat, tags, name="c"), r"crf 'c' needs scores \(T, N, K\), steps first, found \(N, 3\)"),
        (lambda: L.crf(whole, tags, name="c"), r"scores are floats, found 'whole' int32, declared at .*test_crf"),
        (lambda: L.crf(open_end, tags, name="c"), r"found \(4, N, K\)"),
        (
            lambda: L.crf(scores, floats, name="c"),
            r"tags are one whole number .* \(4, N\); found 'floats' \(4, N\) float",
        ),
        (lambda: L.crf(scores, lengths, name="c"), r"found 'lengths' \(4,\) int32, declared at .*test_crf"),
        (lambda: L.crf(scores, tags, name="c", lengths=lengths), r"lengths are one whole number .*\(N,\); found"),
        (
            lambda: L.crf(scores, tags, name="c", reduction="max"),
            "reduction='max' must be one of 'mean', 'sum', 'none'",
        ),
    ):
        with pytest.raises(ShapeError, match=message):
            made()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("lengths", [4, 5, 1], "5"), ("lengths", [4, -1, 1], "-1"), ("tags", numpy.full((4, 3), 3), "'tags'.*3")],
)
def test_a_tag_or_a_length_out_of_its_range_is_refused_when_the_step_runs(name, value, message):
    data, _ = drawn(4, 3, 3)
    data["lengths"] = numpy.array([4, 2, 1])
    step = graphc.compile([declared((4, "N", 3), lengths=True)], dtype="float64", threads=1)
    step(**data)
    with pytest.raises(DataError, match=message):
        step(**data | {name: value})


def test_the_search_refuses_shapes_and_lengths_that_do_not_fit():
    data, parameters = drawn(4, 3, 3)
    transition, start, end = (parameters[name] for name in NAMES)
    with pytest.raises(DataError, match=r"found scores \(4, 3, 3\), transition \(3, 3\), start \(2,\), end \(3,\)"):
        L.viterbi(data["scores"], transition, start[:2], end)
    with pytest.raises(DataError, match=r"lengths must be 3 whole numbers from 0 to 4, found \[5, 1, 1\]"):
        L.viterbi(data["scores"], transition, start, end, [5, 1, 1])
