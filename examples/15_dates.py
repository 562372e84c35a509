"""Where does a network look while it writes a date down?

An encoder reads "march 3rd, 98" in both directions, a decoder writes 1998-03-03, one character at a step. At each step
it takes a mean of the encoder's states, weighted by how well they answer its own state: attention, with the additive
score of Bahdanau et al. (2015) or, with ``dot`` as an argument, the product of Luong et al. (2015). It trains on what
it should have written before (teacher forcing); in use it reads what it wrote itself. With ``spanish`` as an argument
and GRAPHC_DATA, words take the place of characters, and short Spanish sentences become English.
"""

# %% What to learn
import collections
import datetime
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy

import graphc

additive, spanish = "dot" not in sys.argv, "spanish" in sys.argv
generator = numpy.random.default_rng(0)


def written(day):
    """A date as people write it; of two digits of a year, 50 to 99 are of the last century."""
    month, year = day.strftime("%B").lower(), str(day.year)
    month = generator.choice([month, month[:3]])
    year = generator.choice([year, year[2:]])
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10 if day.day // 10 != 1 else 0, "th")
    forms = (
        f"{day.day} {month} {year}",
        f"{month} {day.day}{ending}, {year}",
        f"{day.strftime('%A').lower()}, {day.day} {month} {year}",
        f"{day.day}.{day.month}.{year}",
        f"{day.month:02}/{day.day:02}/{year}",
    )
    return forms[generator.integers(len(forms))]


def dates(count):
    """Dates of 1950 to 2049, each in one of their forms, and in that of ISO 8601."""
    first = datetime.date(1950, 1, 1)
    days = [first + datetime.timedelta(int(days)) for days in generator.permutation(36525)[:count]]
    return [(list(written(day)), list(day.isoformat())) for day in days]


def sentences(archive, longest):
    """Short sentences of Spanish and English, in words; the first translation of each Spanish sentence."""
    lines = zipfile.ZipFile(archive).read("spa.txt").decode().lower().splitlines()
    marks = {ord(mark): f" {mark} " for mark in "¿?¡!.,"}
    pairs = [[side.translate(marks).split() for side in reversed(line.split("\t"))] for line in lines]
    short = {" ".join(given): (given, wanted) for given, wanted in reversed(pairs) if len(given) <= longest}
    return list(reversed(short.values()))


if spanish:
    pairs = sentences(Path(os.environ["GRAPHC_DATA"]) / "anki-spa-eng" / "spa-eng.zip", 6)[:12000]
    order, kept_back, rounds, embedded, units = generator.permutation(len(pairs)), 1000, 7, 128, 128
    pairs = [pairs[k] for k in order]
else:
    pairs, kept_back, rounds, embedded, units = dates(6000), 1000, 6, 16, 32


# %% Characters or words as whole numbers; 0 begins, ends and fills up, 1 stands for what occurs once or never
def numbered(sequences):
    """Numbers of all items that occur more than once."""
    counts = collections.Counter(item for sequence in sequences for item in sequence)
    repeated = sorted(item for item, count in counts.items() if count > 1)
    return {item: number for number, item in enumerate(repeated, 2)}


def filled(sequences, numbers, steps):
    """Whole numbers (T, N), with 0 behind the end."""
    rows = [[numbers.get(item, 1) for item in sequence] + [0] * (steps - len(sequence)) for sequence in sequences]
    return numpy.array(rows, dtype="int32").T


given, wanted = ([pair[side] for pair in pairs] for side in (0, 1))
source, target = numbered(given[kept_back:]), numbered(wanted[kept_back:])
reads, writes = max(map(len, given)), max(map(len, wanted)) + 1
read, right = filled(given, source, reads), filled(wanted, target, writes)
data = {
    "read": read,
    "lengths": numpy.array([len(items) for items in given]),
    "before": numpy.concatenate([numpy.zeros_like(right[:1]), right[:-1]]),
    "right": right,
    "counts": (numpy.arange(writes)[:, None] < [len(items) + 1 for items in wanted]).astype("float32"),
}


def rows(which):
    """Some of the examples: lengths lead with them, sequences have their steps first."""
    return {name: array[..., which] for name, array in data.items()}


train, test = rows(slice(kept_back, None)), rows(slice(kept_back))
joint = " " if spanish else ""
print(f"{len(pairs)} pairs, such as {joint.join(given[0])!r} and {joint.join(wanted[0])!r}")

# %% The encoder: states of all steps, and where the decoder begins
tokens = graphc.input("read", (reads, "N"), dtype="int32")
lengths = graphc.input("lengths", ("N",), dtype="int32")
h = graphc.layers.embedding(tokens, len(source) + 2, embedded, name="read.table", initial=graphc.normal(0.3))
states = graphc.layers.lstm(h, units, name="encoder", lengths=lengths, bidirectional=True)
states = graphc.layers.dropout(states, 0.3, name="drop.states") if spanish else states
keys = graphc.layers.dense(states, units, name="keys", bias=False)
begin = graphc.tanh(graphc.layers.dense(graphc.amax(states, axes=0), 2 * units, name="begin"))
begin = tuple(graphc.split(begin, 2, axis=1))

# %% One step of the decoder: look, then write
query = graphc.parameter("query", (units, units), initial=graphc.xavier())
answer = graphc.parameter("answer", (units,), initial=graphc.normal(0.1))
weight_x = graphc.parameter("decoder.weight_x", (4 * units, embedded + 2 * units), initial=graphc.xavier())
weight_h = graphc.parameter("decoder.weight_h", (4 * units, units), initial=graphc.orthogonal())
bias = graphc.parameter("decoder.bias", (4 * units,))

additive_score = graphc.gate("score[n,s] = sum(answer[a]*tanh(key[s,n,a] + query[n,a]), a)")
dot_score = graphc.gate("score[n,s] = sum(key[s,n,a]*query[n,a], a)")
within = graphc.gate("score_within[n,s] = score[n,s] if mask[s,n] else -1e9")
mixed = graphc.gate("context[n,k] = sum(weight[n,s]*state[s,n,k], s)")


def decoder(keys, states, mask):
    """Return a cell that attends to the states of the encoder where the mask is 1."""

    def cell(x, memory):
        asked = graphc.matmul(memory[0], query)
        score = additive_score(answer, keys, asked) if additive else dot_score(keys, asked)
        weight = graphc.softmax(within(mask, score))
        seen = graphc.concat([x, mixed(weight, states)], axis=1)
        h, c = graphc.lstm_cell(seen, *memory, weight_x, weight_h, bias)
        return (h, weight), (h, c)

    return cell


# %% Train it on all steps at once: what it should have written before is known
before = graphc.input("before", (writes, "N"), dtype="int32")
right = graphc.input("right", (writes, "N"), dtype="int32")
counts = graphc.input("counts", (writes, "N"))
table = graphc.parameter("write.table", (len(target) + 2, embedded), initial=graphc.normal(0.3))
cell = decoder(keys, states, graphc.layers.step_mask(lengths, reads))
(hs, _), _ = graphc.unroll(cell, graphc.embedding(table, before), begin, name="decoder")
scores = graphc.layers.dense(hs, len(target) + 2, name="scores")
likely = graphc.gather(graphc.log_softmax(scores), graphc.reshape(right, (writes, -1, 1)))
loss = -graphc.sum(counts * graphc.reshape(likely, (writes, -1))) / graphc.sum(counts)
# one thread: steps this small gain little from more, and other programs may want them
trainer = graphc.Trainer(loss, optimizer=graphc.Adam(0.005, clip_norm=1.0), seed=0, threads=1)
trainer.fit(train, batch_size=50, epochs=rounds, validation=test)
print(trainer.history)

# %% Use it step by step, with the same parameters: the encoder once, then the decoder on what it wrote last
shared = {**trainer.parameters, **trainer.states}
encode = graphc.compile([keys, states, *begin], parameters=shared, training=False, threads=1)
kept_keys = graphc.input("keys", (reads, "N", units))
kept_states = graphc.input("states", (reads, "N", 2 * units))
mask = graphc.input("mask", (reads, "N"))
last = graphc.input("last", ("N",), dtype="int32")
memory = tuple(graphc.input(name, ("N", units)) for name in "hc")
(h, weight), (_, c) = decoder(kept_keys, kept_states, mask)(graphc.embedding(table, last), memory)
score = graphc.layers.dense(h, len(target) + 2, name="scores")
step = graphc.compile([score, weight, h, c], parameters=shared, training=False, threads=1)


def decoded(read, lengths):
    """What the decoder writes, the best item at each step, and where it looks: (T, N) and (T, N, S)."""
    keys, states, h, c = encode(read=read, lengths=lengths)
    mask = numpy.arange(reads)[:, None] < lengths
    last, written, looked = numpy.zeros(len(lengths), "int32"), [], []
    for _ in range(writes):
        score, weight, h, c = step(keys=keys, states=states, mask=mask, last=last, h=h, c=c)
        last = score.argmax(axis=1).astype("int32")
        written.append(last)
        looked.append(weight)
    return numpy.array(written), numpy.array(looked)


def text(numbers, table, joint):
    """Items up to the end."""
    names = ["", "?", *table]
    ends = numpy.flatnonzero(numbers == 0)
    return joint.join(names[number] for number in numbers[: ends[0] if len(ends) else None])


found, looked = decoded(test["read"], test["lengths"])
ended = numpy.cumsum(found == 0, axis=0) > 0
exact = (numpy.where(ended, 0, found) == test["right"]).all(axis=0) & (test["right"] != 1).all(axis=0)
for n in range(20 if spanish else 5):
    print(f"{joint.join(given[n]):30} -> {text(found[:, n], list(target), joint)}")
print(f"{exact.mean():.1%} of {len(exact)} {'sentences' if spanish else 'dates'} that it has not seen are right")
if not spanish:
    assert exact.mean() >= 0.95
    last_digit = looked[3].argmax(axis=1) == test["lengths"] - 1
    print(f"for the last digit of the year, {last_digit.mean():.1%} look most at the last character, where it stands")
    assert last_digit.mean() >= 0.95

# %% Unrolled and told what it wrote, the decoder would write the same
told = numpy.concatenate([numpy.zeros_like(found[:1]), found[:-1]])
again = trainer.predict(scores, read=test["read"], lengths=test["lengths"], before=told).argmax(axis=2)
assert (again == found).mean() >= 0.999

# %% Where it looked: a row for each item that it wrote
shown = next(n for n in range(kept_back) if "," in given[n])
marks, items = text(found[:, shown], list(target), " ").split(), given[shown]
picture = looked[: len(marks), shown, : len(items)]
try:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
except ImportError:
    width = max(map(len, marks))
    print(" " * width, joint.join(items))
    for mark, row in zip(marks, picture, strict=True):
        print(f"{mark:{width}}", "".join(" .:-=+*#%@"[int(9.99 * share)] for share in row))
else:
    figure, axes = pyplot.subplots()
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks(range(len(items)), items)
    axes.set_yticks(range(len(marks)), marks)
    path = Path(tempfile.mkdtemp()) / "attention.svg"
    figure.savefig(path)
    print(f"wrote {path}")
