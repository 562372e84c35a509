"""``graphc.sample``: what is drawn, from which state, how often, and what is refused."""

from __future__ import annotations

import itertools

import numpy
import pytest

import graphc
from graphc.errors import DataError
from graphc.training.sampling import sample

V, H = 5, 3
#: Scores of the next token for each token: far apart, so that the best one is clear.
SCORES = numpy.random.default_rng(0).permutation(V * V).reshape(V, V) / 4.0


def table(scores: numpy.ndarray = SCORES, rank: int = 1, dtype: str = "float32"):
    """Scores that depend on the last token alone."""
    token = graphc.input("token", ("N",) if rank == 1 else (1, "N"), dtype="int32")
    weight = graphc.parameter("weight", scores.shape, initial=scores)
    return graphc.compile([graphc.embedding(weight, token)], dtype=dtype, training=False, threads=1)


def counter(parameters=None, **replaced):
    """An LSTM of one step."""
    token, h, c = (graphc.input("token", ("N",), dtype="int32"), *(graphc.input(s, ("N", H)) for s in "hc"))
    hs, (h, c) = graphc.layers.lstm(
        graphc.reshape(token, (1, -1)), H, name="memory", vocabulary=V, state=(h, c), returns="both"
    )
    scores = graphc.layers.dense(hs, V, name="scores")
    outputs = {"scores": scores, "h": h, "c": c} | replaced
    return graphc.compile(list(outputs.values()), parameters=parameters, training=False, threads=1, dtype="float64")


def walked(step, rows, states, count, pick):
    """The loop written out: read the rows, then what was picked."""
    drawn, number = [], 0
    while len(drawn) < count:
        token = rows[number] if number < len(rows) else drawn[-1]
        scores, *following = step(token=token, **states)
        states = dict(zip(states, following, strict=True))
        number += 1
        if number >= len(rows):
            drawn.append(pick(scores.reshape(len(token), V)).astype("int32"))
    return numpy.array(drawn)


# ---- what is drawn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rank", [1, 2])
def test_temperature_0_follows_the_best_token(rank, dtype):
    found = sample(table(rank=rank, dtype=dtype), [2, 0, 4], 6, state={}, temperature=0)
    expected = [[2, 0, 4]]
    for _ in range(6):
        expected.append(SCORES.argmax(axis=1)[expected[-1]].tolist())
    assert found.dtype == "int32"
    assert found.tolist() == expected[1:]


def test_the_state_goes_from_step_to_step():
    step = counter()
    start = {s: numpy.random.default_rng(1).normal(size=(4, H)) for s in "hc"}
    found = sample(step, [0, 1, 2, 3], 8, state=start, temperature=0)
    expected = walked(step, numpy.array([[0, 1, 2, 3]]), start, 8, lambda scores: scores.argmax(axis=1))
    assert numpy.array_equal(found, expected)
    # the state makes a difference: without it the same walk is another one
    assert not numpy.array_equal(found, sample(step, [0, 1, 2, 3], 8, state={"h": 0, "c": 0}, temperature=0))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_of_tokens_are_read_before_the_first_draw(count):
    step = counter()
    rows = numpy.random.default_rng(2).integers(0, V, (3, 2))
    zeros = {s: numpy.zeros((2, H)) for s in "hc"}
    found = sample(step, rows, count, state={"h": 0.0, "c": 0}, temperature=0)
    assert found.shape == (count, 2)
    if count:
        expected = walked(step, rows.astype("int32"), zeros, count, lambda scores: scores.argmax(axis=1))
        assert numpy.array_equal(found, expected)


def test_one_token_begins_every_sequence_of_a_state():
    found = sample(counter(), 3, 4, state={"h": numpy.zeros((6, H)), "c": 0}, seed=1)
    assert found.shape == (4, 6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_the_probabilities_of_the_softmax(temperature):
    scores = numpy.tile([1.0, 0.0, -1.0, 0.5, 2.0], (V, 1))
    count = 40_000
    drawn = sample(table(scores), numpy.zeros(count, int), 1, state={}, temperature=temperature, seed=3)
    shares = numpy.exp(scores[0] / temperature)
    shares /= shares.sum()
    found = numpy.bincount(drawn[0], minlength=V) / count
    assert numpy.abs(found - shares).max() < 4 * numpy.sqrt(0.25 / count)


def test_sequences_and_steps_are_drawn_independently():
    drawn = sample(table(numpy.zeros((V, V))), numpy.zeros(5000, int), 2, state={}, seed=0)
    pairs = numpy.bincount(drawn[0] * V + drawn[1], minlength=V * V) / 5000
    assert numpy.abs(pairs - 1 / V**2).max() < 4 * numpy.sqrt(1 / V**2 / 5000)


def test_a_token_without_probability_is_never_drawn():
    scores = numpy.full((V, V), -1e30)
    scores[:, 1] = scores[:, 3] = 0.0
    drawn = sample(table(scores), numpy.zeros(500, int), 4, state={})
    assert set(drawn.ravel().tolist()) == {1, 3}


def test_large_scores_and_small_temperatures_do_not_overflow():
    scores = numpy.full((V, V), -1e30)
    scores[:, 2] = 1e30
    for temperature in (1e-320, 1e-3, 1.0, 1e9):
        assert (sample(table(scores), [0, 1], 3, state={}, temperature=temperature) == 2).all()


def test_equal_seeds_draw_equal_tokens():
    step = counter()
    drawn = [sample(step, [0, 1], 30, state={"h": 0, "c": 0}, seed=seed) for seed in (5, 5, 6)]
    assert numpy.array_equal(drawn[0], drawn[1])
    assert not numpy.array_equal(drawn[0], drawn[2])


def test_a_state_of_whole_numbers():
    # a Fibonacci walk modulo 5: the next token is the sum of the last two
    last, before = (graphc.input(name, ("N",), dtype="int32") for name in ("last", "before"))
    pairs = numpy.zeros((V * V, V))
    for a, b in itertools.product(range(V), repeat=2):
        pairs[a * V + b, (a + b) % V] = 1.0
    one_hot = graphc.one_hot(before, V), graphc.one_hot(last, V)
    scores = graphc.einsum("na,nb,abk->nk", *one_hot, pairs.reshape(V, V, V))
    step = graphc.compile([scores, last], training=False, threads=1)
    drawn = sample(step, [1, 2], 6, state={"before": [0, 1]}, temperature=0)
    assert drawn.T.tolist() == [[1, 2, 3, 0, 3, 3], [3, 0, 3, 3, 1, 4]]


def test_the_step_sees_what_a_trainer_has_learned():
    tokens, following = (graphc.input(name, ("T", "N"), dtype="int32") for name in ("tokens", "following"))
    hs = graphc.layers.lstm(tokens, H, name="memory", vocabulary=V)
    scores = graphc.reshape(graphc.layers.dense(hs, V, name="scores"), (-1, V))
    loss = graphc.softmax_cross_entropy(scores, graphc.reshape(following, (-1,)))
    trainer = graphc.Trainer(loss, optimizer=graphc.Adam(0.1), dtype="float64", threads=1)
    step = counter(parameters=trainer.parameters)
    ring = numpy.arange(11)[:, None] % V
    before = sample(step, 0, 10, state={"h": 0, "c": 0}, temperature=0)
    trainer.fit([{"tokens": ring[:-1], "following": ring[1:]}] * 100)
    after = sample(step, 0, 10, state={"h": 0, "c": 0}, temperature=0)
    assert not numpy.array_equal(before, ring[1:])
    assert numpy.array_equal(after, ring[1:])


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [-1, V, [0, V], [[0, 1], [2, V + 3]]])
def test_a_token_outside_of_the_vocabulary_names_the_step(token):
    last = numpy.ravel(token)[-1]
    step = len(token) - 1 if numpy.ndim(token) == 2 else 0
    with pytest.raises(DataError, match=rf"token {last} for step {step}, sequence .*scores 5 tokens, 0 to 4"):
        sample(table(), token, 3, state={})


def test_a_drawn_token_that_the_step_cannot_read_names_the_step():
    scores = numpy.zeros((2, V))
    scores[0, 1] = scores[1, 4] = 9.0  # 0, 1, and then 4, for which the table has no row
    with pytest.raises(DataError, match=r"step 2, which reads the tokens \[4\], failed: .*4"):
        sample(table(scores), 0, 5, state={}, temperature=0)


@pytest.mark.parametrize("temperature", [-0.5, float("nan"), float("inf"), "hot", None, True])
def test_a_temperature_that_is_none(temperature):
    with pytest.raises(DataError, match=r"temperature=.* at least 0: 0 takes the best token"):
        sample(table(), 0, 3, state={}, temperature=temperature)


@pytest.mark.parametrize("options", [{"length": -1}, {"length": 2.0}, {"seed": -1}])
def test_lengths_and_seeds_are_whole_numbers(options):
    with pytest.raises(DataError, match=next(iter(options))):
        sample(table(), **{"first": 0, "length": 2, "state": {}, **options})


@pytest.mark.parametrize("first", [1.0, "h", [], [[[0]]], None])
def test_first_is_a_token_or_rows_of_tokens(first):
    with pytest.raises(DataError, match="first is a token"):
        sample(table(), first, 3, state={})


def test_a_state_that_the_step_does_not_have():
    with pytest.raises(DataError, match=r"state has 'hh', but the step has no such input.*it has token, h, c"):
        sample(counter(), 0, 3, state={"hh": 0, "c": 0})


def test_a_state_that_is_missing():
    with pytest.raises(DataError, match=r"one input for the token.*beside 'h': 'token' \(N,\), 'c' \(N, 3\)"):
        sample(counter(), 0, 3, state={"h": 0})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"h": numpy.zeros((2, H + 1)), "c": 0}, r"state 'h' starts with shape \(2, 4\), expected \(2, 3\)"),
        ({"h": numpy.zeros(H), "c": 0}, r"state 'h' starts with shape \(3,\), expected \(2, 3\)"),
        ({"h": numpy.zeros((3, H)), "c": 0}, r"number of sequences differs: first has 2, h has 3"),
        ({"h": numpy.zeros((2, H)), "c": numpy.zeros((1, H))}, r"number of sequences differs: .*c has 1"),
    ],
)
def test_a_state_of_another_shape(state, message):
    with pytest.raises(DataError, match=message):
        sample(counter(), [0, 1], 3, state=state)


def test_a_number_for_a_state_needs_a_known_shape():
    token, h = graphc.input("token", ("N",), dtype="int32"), graphc.input("h", ("K", "N"))
    weight = graphc.parameter("weight", (V, V), initial=SCORES)
    step = graphc.compile([graphc.embedding(weight, token), h + 1.0], training=False, threads=1)
    with pytest.raises(
        DataError, match=r"'h' starts with a number, but its shape \(K, N\) is not known: give an array"
    ):
        sample(step, 0, 3, state={"h": 0})
    assert sample(step, 0, 3, state={"h": numpy.zeros((3, 2))}).shape == (3, 2)


def test_a_number_of_sequences_that_is_declared():
    token = graphc.input("token", (3,), dtype="int32")
    weight = graphc.parameter("weight", (V, V), initial=SCORES)
    step = graphc.compile([graphc.embedding(weight, token)], training=False, threads=1)
    assert sample(step, 0, 4, state={}).shape == (4, 3)
    with pytest.raises(DataError, match="number of sequences differs: first has 2, token has 3"):
        sample(step, [0, 1], 4, state={})


def test_new_states_in_another_order_have_another_shape():
    token, a, b = (
        graphc.input("token", ("N",), dtype="int32"),
        graphc.input("a", ("N", 2)),
        graphc.input("b", ("N", 3)),
    )
    weight = graphc.parameter("weight", (V, V), initial=SCORES)
    step = graphc.compile([graphc.embedding(weight, token), b * 1.0, a * 1.0], training=False, threads=1)
    with pytest.raises(DataError, match=r"behind step 0 the state 'a' has shape \(1, 3\), before it \(1, 2\).*order"):
        sample(step, 0, 3, state={"a": 0, "b": 0})


def test_outputs_that_are_no_scores_or_no_states():
    token, h = graphc.input("token", ("N",), dtype="int32"), graphc.input("h", ("N", "K"))
    scores = graphc.embedding(graphc.parameter("weight", (V, V), initial=SCORES), token)
    with pytest.raises(DataError, match=r"outputs are the new states.*'h'; found nothing"):
        sample(graphc.compile([scores + graphc.sum(h)], training=False, threads=1), 0, 3, state={"h": 0})
    for output in (graphc.sum(scores), graphc.argmax(scores), graphc.sum(scores, axes=1)):
        with pytest.raises(DataError, match="first output is the scores"):
            sample(graphc.compile([output], training=False, threads=1), 0, 3, state={})


def test_a_network_of_many_steps_is_not_a_step():
    tokens = graphc.input("tokens", (7, "N"), dtype="int32")
    scores = graphc.embedding(graphc.parameter("weight", (V, V), initial=SCORES), tokens)
    with pytest.raises(DataError, match=r"the token is \(N,\) or \(1, N\).*'tokens' \(7, N\)(.|\n)*Try: the same"):
        sample(graphc.compile([scores], training=False, threads=1), 0, 3, state={})


def test_scores_that_are_not_finite_name_the_step():
    scores = SCORES.copy()
    scores[0, 3], scores[3, 1] = 99.0, numpy.nan
    with pytest.raises(DataError, match="scores of step 1 are not finite"):
        sample(table(scores), 0, 3, state={}, temperature=0)
