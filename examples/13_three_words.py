"""Can three words tell the next one, even three words that were never seen together?

A feed-forward language model (Bengio, Ducharme, Vincent, Jauvin, JMLR 3, 2003): each of the last three words is looked
up in one table, the three rows are joined, and a hidden layer gives the probabilities of the next word. Words that
are used alike get rows that are alike, so that the model knows sentences it has not read. A table of counts does not.
"""

# %% A small language: sentences like "the cat is walking in a garden ."; animals and cars do other things, elsewhere
import itertools

import numpy

import graphc

ARTICLES, FORMS = ("the", "a"), ("is", "was")
KINDS = (
    (("cat", "dog", "mouse"), ("walking", "eating", "sleeping"), ("room", "kitchen", "garden")),
    (("car", "bus", "train"), ("driving", "waiting", "stopping"), ("city", "street", "tunnel")),
)
sentences = [
    " ".join(words)
    for who, what, where in KINDS
    for words in itertools.product(ARTICLES, who, FORMS, what, ("in",), ARTICLES, where, (".",))
]
WORDS = sorted({word for sentence in sentences for word in sentence.split()})
V, D, H = len(WORDS), 6, 24
order = numpy.random.default_rng(3).permutation(len(sentences))
read, unread = [sentences[k] for k in order[:64]], [sentences[k] for k in order[64:]]
print(f"{len(WORDS)} words, {len(sentences)} sentences; reads {len(read)} of them, such as {read[0]!r}")


def examples(some):
    """Three words and the next one, for every word; before a sentence stand full stops."""
    context, following = [], []
    for sentence in some:
        words = [WORDS.index(word) for word in [".", ".", ".", *sentence.split()]]
        context += [words[k : k + 3] for k in range(len(words) - 3)]
        following += words[3:]
    return {"context": numpy.array(context, dtype="int32"), "following": numpy.array(following, dtype="int32")}


# %% Declare: one table for the three places
def network(context):
    """Scores (N, V) of the next word."""
    table = graphc.layers.embedding(context, V, D, name="table", initial=graphc.normal(0.1))  # (N, 3, D)
    hidden = graphc.tanh(graphc.layers.dense(graphc.flatten(table), H, name="hidden"))
    return graphc.layers.dense(hidden, V, name="scores")


context = graphc.input("context", ("N", 3), dtype="int32")
following = graphc.input("following", ("N",), dtype="int32")
loss = graphc.softmax_cross_entropy(network(context), following)
decay = sum(graphc.l2(node, 2e-3) for node in graphc.graph.topological([loss]) if node.label.endswith("weight"))
trainer = graphc.Trainer(loss + decay, optimizer=graphc.Adam(0.01), metrics={"nats": loss}, threads=1, seed=0)
print(graphc.count(loss))

# %% Train; no model can do better than the choices that the language leaves
trainer.fit(examples(read), batch_size=32, epochs=100)
train, test = (trainer.evaluate(examples(some))["nats"] for some in (read, unread))
least = numpy.log(len(sentences)) / 8
print(f"nats a word: {train:.3f} on what it read, {test:.3f} on what it did not read; the language has {least:.3f}")

# %% A table of counts instead: how often did which word follow three others?
counts = numpy.full((V, V, V, V), 0.1)  # a little for what was never seen
data = examples(read)
numpy.add.at(counts, (*data["context"].T, data["following"]), 1)
shares = counts / counts.sum(axis=-1, keepdims=True)
data = examples(unread)
counted = -numpy.log(shares[(*data["context"].T, data["following"])]).mean()
print(f"a table of {counts.size:,} counts: {counted:.3f} on what was not read")
assert test < counted - 0.1
assert test < least + 0.2

# %% Words that stand in for each other have rows that point the same way: cosines of the rows
nouns = [*KINDS[0][0], *KINDS[1][0]]
rows = trainer.parameters["table.weight"][[WORDS.index(noun) for noun in nouns]]
rows = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
alike = rows @ rows.T
for noun, row in zip(nouns, alike, strict=True):
    print(f"{noun:<6}", " ".join(f"{value:6.2f}" for value in row))
same = numpy.mean([alike[:3, :3][numpy.triu_indices(3, 1)], alike[3:, 3:][numpy.triu_indices(3, 1)]])
across = alike[:3, 3:].mean()
print(f"on average {same:.2f} within a kind, {across:.2f} across")
assert same > across + 0.5

# %% It writes: the state is the two words before the last
third, second, last = (graphc.input(name, ("N",), dtype="int32") for name in ("third", "second", "last"))
scores = network(graphc.stack([third, second, last], axis=1))
step = graphc.compile([scores, second, last], parameters=trainer.parameters, threads=1, training=False)
stop = WORDS.index(".")
drawn = graphc.sample(step, stop, 24, state={"third": stop, "second": stop}, temperature=0.7)[:, 0]
print("writes:", " ".join(WORDS[k] for k in drawn))
written = " ".join(WORDS[k] for k in drawn).split(" . ")
assert sum(f"{sentence} ." in sentences for sentence in written) >= 1
