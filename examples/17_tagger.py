"""Which part of speech is "round"?

Sentences of a tiny grammar, in which some words belong to several parts of speech. A recurrent layer that reads in both
directions scores the tags of each word. Judged word by word, by a softmax, the best tags of neighbours need not go
together; a conditional random field scores pairs of neighbours as well, and the Viterbi algorithm finds the best
sequence as a whole.
"""

# %% A grammar: what may follow what, and the words of each part of speech
import numpy

import graphc

tags = ("determiner", "adjective", "noun", "verb", "adverb", "preposition")
follows = {
    "begin": ("determiner", "adjective", "noun"),
    "determiner": ("adjective", "noun"),
    "adjective": ("adjective", "noun"),
    "noun": ("verb", "preposition", "end"),
    "verb": ("determiner", "adverb", "preposition", "noun", "end"),
    "adverb": ("preposition", "verb", "end"),
    "preposition": ("determiner", "noun", "adjective"),
}
own = {
    "determiner": ("the", "a"),
    "adjective": ("green", "small"),
    "noun": ("ship", "tree"),
    "verb": ("sails", "grows"),
    "adverb": ("slowly", "often"),
    "preposition": ("under", "near"),
}
shared = {
    "adjective": ("round", "light", "fast", "down"),
    "noun": ("round", "light", "fast", "down", "sails"),
    "verb": ("round", "light", "fast", "down"),
    "adverb": ("round", "fast", "down"),
    "preposition": ("round", "down"),
}
words = sorted({word for group in (*own.values(), *shared.values()) for word in group})
generator = numpy.random.default_rng(0)
longest = 12


def sentence():
    """Words and tags of one walk through the grammar."""
    tag, found = "begin", []
    while tag != "end":
        tag = str(generator.choice(follows[tag]))
        if tag != "end":
            group = shared[tag] if tag in shared and generator.random() < 0.6 else own[tag]
            found.append((words.index(generator.choice(group)), tags.index(tag)))
    return found if len(found) <= longest else sentence()


def drawn(count):
    """Words and tags, (T, N), filled up with 0, and lengths."""
    sentences = [sentence() for _ in range(count)]
    filled = numpy.array([s + [(0, 0)] * (longest - len(s)) for s in sentences], dtype="int32")
    lengths = numpy.array([len(s) for s in sentences])
    return {"words": filled[..., 0].T, "tags": filled[..., 1].T, "lengths": lengths}


train, test = drawn(2000), drawn(3000)
for n in range(3):
    pairs = zip(train["words"][:, n], train["tags"][:, n], strict=True)
    print(" ".join([f"{words[word]}/{tags[tag]}" for word, tag in pairs][: train["lengths"][n]]))

# %% One network for the scores, two losses
said = graphc.input("words", (longest, "N"), dtype="int32")
meant = graphc.input("tags", (longest, "N"), dtype="int32")
lengths = graphc.input("lengths", ("N",), dtype="int32")


def scored(name):
    """Scores of all tags at each step, (T, N, K)."""
    h = graphc.layers.embedding(said, len(words), 8, name=f"{name}.table")
    h = graphc.layers.gru(h, 16, name=f"{name}.memory", lengths=lengths, bidirectional=True)
    return graphc.layers.dense(h, len(tags), name=f"{name}.scores")


by_word, whole = scored("softmax"), scored("crf")
mask = graphc.layers.step_mask(lengths, longest)
likely = graphc.gather(graphc.log_softmax(by_word), graphc.reshape(meant, (longest, -1, 1)))
losses = {
    "softmax": -graphc.mean(graphc.sum(graphc.reshape(likely, (longest, -1)) * mask, axes=0)),
    "crf": graphc.layers.crf(whole, meant, name="chain", lengths=lengths),
}
trainers = {}
for name, loss in losses.items():
    # one thread: steps this small gain little from more, and other programs may want them
    trainers[name] = graphc.Trainer(loss, optimizer=graphc.Adam(0.01), seed=0, threads=1)
    trainers[name].fit(train, batch_size=50, epochs=10)
    print(f"{name}: loss {trainers[name].evaluate(test)['loss']:.3f} nats a sentence")

# %% Which tags go together, as it has learned: rows before, columns after
transition, start, end = (trainers["crf"].parameters[f"chain.{part}"] for part in ("transition", "start", "end"))
allowed = numpy.array([[after in follows[before] for after in tags] for before in tags])
print(" " * 12 + "".join(f"{tag[:5]:>8}" for tag in tags))
for tag, row in zip(tags, transition, strict=True):
    print(f"{tag:12}" + "".join(f"{value:8.1f}" for value in row))
assert transition[allowed].mean() > transition[~allowed].mean() + 1

# %% The best tag of each word, or the best tags of the sentence
read = {"words": test["words"], "lengths": test["lengths"]}
found = {
    "softmax": trainers["softmax"].predict(by_word, **read).argmax(axis=2),
    "crf": graphc.layers.viterbi(trainers["crf"].predict(whole, **read), transition, start, end, test["lengths"]),
}
present = numpy.arange(longest)[:, None] < test["lengths"]
both = present[1:] & present[:-1]
right, grammatical = {}, {}
for name, tagged in found.items():
    single = (tagged == test["tags"])[present].mean()
    right[name] = ((tagged == test["tags"]) | ~present).all(axis=0).mean()
    grammatical[name] = (allowed[tagged[:-1], tagged[1:]] | ~both).all(axis=0).mean()
    print(f"{name:>8}: {single:.1%} of the words, {right[name]:.1%} of the sentences right; "
          f"{grammatical[name]:.1%} follow the grammar")  # fmt: skip
assert grammatical["crf"] >= 0.99 > grammatical["softmax"]
assert right["crf"] > right["softmax"]
