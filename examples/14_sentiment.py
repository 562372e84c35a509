"""Did the critic like the film?

Many to one: words become rows of an embedding, a recurrent layer reads them in both directions, the largest value of
each unit over all steps goes to a logistic output. Sentences have different lengths: beyond its own last word an
example is masked. Without GRAPHC_DATA the sentences are made up, so that the order of the words decides; with it they
are the 10,662 sentences of film reviews of Pang and Lee (2005).
"""

# %% Sentences
import collections
import itertools
import os
from pathlib import Path

import numpy

import graphc

generator = numpy.random.default_rng(0)


def invented():
    """Sentences about a film and a book; the verdict is that on the film, and "not" turns it round."""
    opinions = {"great": 1, "moving": 1, "witty": 1, "fine": 1, "dull": 0, "silly": 0, "awful": 0, "slow": 0}

    def clause(thing):
        word, negated = generator.choice(list(opinions)), generator.integers(2)
        extra = generator.choice(["", "really", "rather", "often"])
        return f"the {thing} is {extra} {'not' if negated else ''} {word}", opinions[word] != negated

    for _ in range(2000):
        (film, liked), (book, _) = clause("film"), clause("book")
        parts = [(film,), (film, "but", book), (book, "but", film)][generator.integers(3)]
        yield " ".join(parts).split(), float(liked)


def reviews(folder):
    """Sentences of film reviews: positive ones, then negative ones."""
    for name, verdict in (("rt-polarity.pos", 1.0), ("rt-polarity.neg", 0.0)):
        for line in (folder / name).read_text(encoding="cp1252").splitlines():
            yield line.split(), verdict


real = "GRAPHC_DATA" in os.environ
sentences, verdicts = zip(
    *(reviews(Path(os.environ["GRAPHC_DATA"]) / "rt-polarity") if real else invented()), strict=True
)
steps = min(max(map(len, sentences)), 40)
print(f"{len(sentences)} sentences" + (" of film reviews" if real else ", made up; GRAPHC_DATA names no folder"))

# %% Ten parts: one for the test, one to say when to stop, eight to train
parts = numpy.array_split(generator.permutation(len(sentences)), 10)


def encoded(number):
    """Training, validation and test data of one fold, and how many words there are: those of the training part."""
    chosen = [parts[(number + k) % 10] for k in range(10)]
    test, validation, train = chosen[0], chosen[1], numpy.concatenate(chosen[2:])
    counts = collections.Counter(itertools.chain.from_iterable(sentences[k] for k in train))
    # 0 stands for every word that occurs once or never
    known = {word: number for number, (word, count) in enumerate(counts.most_common(), 1) if count > 1}

    def data(rows):
        words = numpy.zeros((steps, len(rows)), "int32")
        for column, row in zip(words.T, rows, strict=True):
            read = sentences[row][:steps]
            column[: len(read)] = [known.get(word, 0) for word in read]
        lengths = numpy.array([min(len(sentences[row]), steps) for row in rows])
        return {"words": words, "lengths": lengths, "liked": numpy.array([verdicts[row] for row in rows])}

    return data(train), data(validation), data(test), len(known) + 1


# %% The network
def trained(train, validation, vocabulary, recurrent=True):
    """Trainer with the parameters of the epoch whose validation loss was the least."""
    words = graphc.input("words", (steps, "N"), dtype="int32")
    lengths = graphc.input("lengths", ("N",), dtype="int32")
    liked = graphc.input("liked", ("N",))
    h = graphc.layers.embedding(words, vocabulary, 64, name="words.table", initial=graphc.normal(0.1))
    h = graphc.layers.dropout(h, 0.5, name="drop.words")
    if recurrent:
        h = graphc.layers.gru(h, 32, name="memory", lengths=lengths, bidirectional=True)
        h = graphc.amax(h, axes=0)
    else:
        h = graphc.sum(h * graphc.reshape(graphc.layers.step_mask(lengths, steps), (steps, -1, 1)), axes=0)
    h = graphc.layers.dropout(h, 0.5, name="drop.features")
    score = graphc.reshape(graphc.layers.dense(h, 1, name="score"), (-1,)).named("scores")
    loss = graphc.sigmoid_cross_entropy(score, liked)
    right = graphc.mean(graphc.equal(graphc.greater(score, 0.0), liked))
    # one thread: steps this small gain little from more, and other programs may want them
    trainer = graphc.Trainer(loss, optimizer=graphc.Adam(0.002), metrics={"accuracy": right}, seed=0, threads=1)
    best, kept = numpy.inf, {}
    for _ in range(6 if real else 12):
        trainer.fit(train, batch_size=50)
        judged = trainer.evaluate(validation)["loss"]
        if judged < best:
            best, kept = judged, {name: array.copy() for name, array in trainer.parameters.items()}
    for name, array in kept.items():
        trainer.parameters[name][...] = array
    return trainer


# %% Train and judge
train, validation, test, vocabulary = encoded(0)
trainer = trained(train, validation, vocabulary)
print(trainer.history)
accuracy = trainer.evaluate(test)["accuracy"]
print(f"accuracy on {len(test['liked'])} sentences that were not trained: {accuracy:.1%}")
if real:
    assert accuracy >= 0.74
else:
    bag = trained(train, validation, vocabulary, recurrent=False).evaluate(test)["accuracy"]
    print(f"without the order of the words, as a sum of their rows: {bag:.1%}")
    assert accuracy >= 0.98
    assert bag <= 0.7
