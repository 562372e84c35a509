"""A character model of Shakespeare's plays, where GRAPHC_DATA says where they are: how well, and just as in PyTorch.

64 streams of text are read in chunks of 64 characters; the state behind a chunk begins the next one, as numbers:
truncated backpropagation through time. Validation reads the last tenth of the text in the same way.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy
import pytest

import graphc

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with tiny Shakespeare"),
]

STEPS, STREAMS, UNITS, LAYERS = 64, 64, 256, 2
RATE, CLIP = 2e-3, 5.0
TRAINING = 1500  # steps, of 245 a pass; measured: 1.615 nats, 0.17 s a step on one processor core
STATES = tuple(f"{letter}{number}" for number in range(LAYERS) for letter in "hc")
THREADS = 1  # one processor for either library, so that other work disturbs neither


def chunks(codes: numpy.ndarray) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """What is read and what follows, (T, N) each, chunk by chunk: each stream is one stretch of the text."""
    length = (len(codes) - 1) // STREAMS
    read = codes[: length * STREAMS].reshape(STREAMS, length).T
    following = codes[1 : length * STREAMS + 1].reshape(STREAMS, length).T
    return [(read[t : t + STEPS], following[t : t + STEPS]) for t in range(0, length - STEPS + 1, STEPS)]


@pytest.fixture(scope="module")
def plays():
    """Chunks of the first nine tenths and of the last tenth, and the number of different characters."""
    text = (Path(os.environ["GRAPHC_DATA"]) / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    letters = sorted(set(text))
    codes = numpy.array([letters.index(letter) for letter in text], dtype="int32")
    cut = len(codes) * 9 // 10
    return chunks(codes[:cut]), chunks(codes[cut:]), len(letters)


def network(vocabulary: int) -> list[graphc.Node]:
    """Loss in nats a character, and the states behind the chunk in the order of STATES."""
    tokens = graphc.input("tokens", (STEPS, "N"), dtype="int32")
    following = graphc.input("following", (STEPS, "N"), dtype="int32")
    given = [graphc.input(name, ("N", UNITS)) for name in STATES]
    h, ends = graphc.layers.lstm(
        tokens, UNITS, name="memory", vocabulary=vocabulary, layers=LAYERS,
        state=tuple(zip(given[::2], given[1::2], strict=True)), returns="both",
    )  # fmt: skip
    scores = graphc.reshape(graphc.layers.dense(h, vocabulary, name="scores"), (-1, vocabulary))
    loss = graphc.softmax_cross_entropy(scores, graphc.reshape(following, (-1,)))
    return [loss, *(node for pair in ends for node in pair)]


class Reader:
    """A compiled step that reads chunk after chunk."""

    def __init__(self, step):
        self.step = step
        self.begin()

    def begin(self):
        self.states = [numpy.zeros((STREAMS, UNITS), dtype="float32")] * len(STATES)

    def read(self, chunk):
        named = dict(zip(STATES, self.states, strict=True))
        loss, *self.states = self.step(tokens=chunk[0], following=chunk[1], **named)
        return float(loss)


def validation(judge: Reader, chunks) -> float:
    judge.begin()
    return float(numpy.mean([judge.read(chunk) for chunk in chunks]))


def test_two_layers_of_256_units_reach_1_65_nats_a_character(plays):
    train, test, vocabulary = plays
    outputs = network(vocabulary)
    learn = Reader(graphc.compile(outputs, optimizer=graphc.Adam(RATE, clip_norm=CLIP), threads=THREADS))
    judge = Reader(graphc.compile(outputs, parameters=learn.step.parameters, threads=THREADS, training=False))
    losses, seconds, found = [], [], numpy.inf
    for number in range(TRAINING):
        if number % len(train) == 0:
            learn.begin()
        begin = time.perf_counter()
        losses.append(learn.read(train[number % len(train)]))
        seconds.append(time.perf_counter() - begin)
        if (number + 1) % 250 == 0:
            found = validation(judge, test)
            print(
                f"step {number + 1}: training {numpy.mean(losses[-100:]):.3f}, validation {found:.3f} nats; "
                f"{numpy.median(seconds):.3f} s a step, {sum(seconds):.0f} s in all"
            )
    assert found <= 1.65


def test_the_first_twenty_steps_have_the_losses_of_pytorch(plays):
    torch = pytest.importorskip("torch", reason="the peer of the comparison is not installed")
    torch.set_num_threads(THREADS)
    train, _, vocabulary = plays
    optimizer = graphc.Adam(RATE, clip_norm=CLIP)
    learn = Reader(graphc.compile(network(vocabulary), optimizer=optimizer, threads=THREADS))
    memory, scores = torch.nn.LSTM(vocabulary, UNITS, LAYERS), torch.nn.Linear(UNITS, vocabulary)
    with torch.no_grad():
        for number in range(LAYERS):
            for ours, theirs in (("weight_x", "weight_ih_l"), ("weight_h", "weight_hh_l"), ("bias", "bias_ih_l")):
                values = learn.step.parameters[f"memory.{number}.{ours}"].copy()
                getattr(memory, f"{theirs}{number}").copy_(torch.from_numpy(values))
            # PyTorch has two biases whose sum acts; this one stays 0
            getattr(memory, f"bias_hh_l{number}").zero_().requires_grad_(False)
        scores.weight.copy_(torch.from_numpy(learn.step.parameters["scores.weight"].copy()))
        scores.bias.copy_(torch.from_numpy(learn.step.parameters["scores.bias"].copy()))
    trained = [p for p in (*memory.parameters(), *scores.parameters()) if p.requires_grad]
    peer = torch.optim.Adam(trained, lr=RATE)
    state = tuple(torch.zeros(LAYERS, STREAMS, UNITS) for _ in "hc")

    begin = time.perf_counter()
    own = [learn.read(chunk) for chunk in train[:20]]
    middle = time.perf_counter()
    others = []
    for read, following in train[:20]:
        peer.zero_grad()
        x = torch.nn.functional.one_hot(torch.from_numpy(read).long(), vocabulary).float()
        h, state = memory(x, tuple(part.detach() for part in state))
        target = torch.from_numpy(following).long().reshape(-1)
        loss = torch.nn.functional.cross_entropy(scores(h).reshape(-1, vocabulary), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        peer.step()
        others.append(float(loss.detach()))
    end = time.perf_counter()
    difference = numpy.abs(numpy.array(own) - others).max()
    print(f"\ngraphc  {numpy.round(own, 4).tolist()}\nPyTorch {numpy.round(others, 4).tolist()}")
    print(
        f"largest difference {difference:.1e} nats; {(middle - begin) / 20:.3f} and {(end - middle) / 20:.3f} s a step"
    )
    assert difference <= 1e-3
