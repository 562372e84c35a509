"""Which names does a network invent, and how does it learn from names of different length?

A character model of given names: a GRU reads a name letter by letter and guesses the next letter or the end. Names of
one batch differ in length: behind its last letter a name is masked. Where GRAPHC_DATA names a folder with them, it
reads 32,000 names instead of a few dozen.
"""

# %% Names as tokens: 0 begins and ends them, 1 to 26 are the letters
import os
from pathlib import Path

import numpy

import graphc

FEW = """
    ada adrian agnes albert alice alma amelia andrea anna anton arthur astrid aurora bella benno bernard bianca bruno
    carla carmen cecilia clara cora daniel david diana dora edgar edith elena elias ella elsa emil emilia emma eric
    erika ernst eva felix fiona flora frida gabriel georg greta hanna hannah hector helena henry hugo ida ingrid irene
    iris isabella ivan jana jasper joel johanna julia julian karin karl katarina klara lara laura lea lena leo leona
    lewis lilian lina linus lisa lola lucia ludwig luisa lydia magnus maria marian marlene martha martin matilda max
    mia mila milan mina mira miriam monica nadia nina nora norman olga oliver olivia oscar otto paul paula petra philip
    pia robert robin rosa rosalind ruben sara selma silvia simon sofia sonia stella tamara theo theodor thomas tilda
    tina toni ursula valentin vera victor victoria viola walter wanda willa xaver yara yvonne zara zoe
"""

if "GRAPHC_DATA" in os.environ:
    source = Path(os.environ["GRAPHC_DATA"]) / "names" / "names.txt"
    names, epochs = source.read_text(encoding="utf-8").split(), (1, 2)
else:
    source, names, epochs = "a list in this file", FEW.split(), (5, 10, 25)
names = list(dict.fromkeys(names))
LETTERS = ".abcdefghijklmnopqrstuvwxyz"
V, H, T = len(LETTERS), 64, max(map(len, names)) + 1
print(f"{len(names):,} names from {source}, of {min(map(len, names))} to {T - 1} letters")


def batch(some):
    """Arrays of names: what is read (T, N), what follows (T, N), and how many steps each has (N,)."""
    rows = numpy.zeros((len(some), T + 1), dtype="int32")
    for row, name in zip(rows, some, strict=True):
        row[1 : len(name) + 1] = [LETTERS.index(letter) for letter in name]
    steps = numpy.array([len(name) + 1 for name in some], dtype="int32")
    return {"letters": rows[:, :-1].T, "following": rows[:, 1:].T, "steps": steps}


# %% Declare: a GRU, and a loss of the steps that there are
letters = graphc.input("letters", (T, "N"), dtype="int32")
following = graphc.input("following", (T, "N"), dtype="int32")
steps = graphc.input("steps", ("N",), dtype="int32")
h = graphc.layers.gru(letters, H, name="memory", vocabulary=V, lengths=steps)
scores = graphc.layers.dense(h, V, name="scores")
right = graphc.sum(graphc.one_hot(following, V) * graphc.log_softmax(scores), axes=2)
mask = graphc.layers.step_mask(steps, T)
loss = (-graphc.sum(mask * right) / graphc.sum(mask)).named("nats")
trainer = graphc.Trainer(loss, optimizer=graphc.Adam(5e-3, clip_norm=5.0), threads=1, seed=0)

# %% What stands behind the end of a name changes nothing
data = batch(names[:50])
after = numpy.arange(T)[:, None] >= data["steps"]
other = data | {name: numpy.where(after, 7, data[name]) for name in ("letters", "following")}
first, second = trainer.evaluate(data)["loss"], trainer.evaluate(other)["loss"]
print(f"loss with zeros behind the names {first:.6f}, with sevens {second:.6f}")
assert first == second

# %% One step with the same parameters
letter, before = graphc.input("letter", ("N",), dtype="int32"), graphc.input("h", ("N", H))
h, h_new = graphc.layers.gru(
    graphc.reshape(letter, (1, -1)), H, name="memory", vocabulary=V, state=before, returns="both"
)
write = graphc.compile(
    [graphc.layers.dense(h, V, name="scores"), h_new], parameters=trainer.parameters, threads=1, training=False
)


def invented(count):
    """Names that the network draws: all at once, each up to its end."""
    drawn = graphc.sample(write, numpy.zeros(count, dtype="int32"), 20, state={"h": 0}, temperature=0.8, seed=0)
    return ["".join(LETTERS[k] for k in column).split(".", maxsplit=1)[0] for column in drawn.T]


# %% Train on nine tenths; the last tenth judges: a network that reads few names too often learns them by heart
order = numpy.random.default_rng(0).permutation(len(names))
kept = len(names) // 10
train, test = (batch([names[k] for k in part]) for part in (order[kept:], order[:kept]))
print(f"before: {', '.join(invented(6))}")
for times in epochs:
    trainer.fit(train, batch_size=32, epochs=times, validation=test)
    learned, judged = trainer.history["loss"][-1], trainer.history["validation loss"][-1]
    print(f"after {trainer.epoch} epochs, {learned:.2f} nats a letter, {judged:.2f} on the last tenth:")
    print(f"    {', '.join(invented(12))}")

# %% Most are new, and all of them end
many = invented(200)
new = [name for name in many if name not in names]
print(
    f"{len(new)} of {len(many)} are not in the list; {numpy.mean([len(name) for name in many]):.1f} letters on average"
)
assert min(trainer.history["validation loss"]) < 2.8 < numpy.log(V)
assert all(len(name) < 20 for name in many)
assert len(new) > 50
