"""What does a network write after one, three and ten readings of a manual?

A character model: an LSTM reads a text letter by letter and gives the probabilities of the next one. The text is the
prose of the manual that Python carries with it, or Shakespeare's plays where GRAPHC_DATA names a folder with them.
"""

# %% The text: paragraphs of prose, without lists, code and markup
import os
import re
from pathlib import Path
from pydoc_data.topics import topics

import numpy

import graphc


def manual():
    """Paragraphs of the manual that begin at the margin and end in a full stop."""
    found = []
    for topic in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[topic]):
            line = re.sub(r"[\"'*`_‘’“”]", "", " ".join(paragraph.split()))
            margin = not any(part.startswith(" ") for part in paragraph.split("\n"))
            if margin and len(line) > 60 and line[0].isalpha() and line.endswith(".") and line.isascii():
                found.append(line)
    return "\n".join(dict.fromkeys(found))  # some stand in several topics


if "GRAPHC_DATA" in os.environ:
    source = Path(os.environ["GRAPHC_DATA"]) / "tinyshakespeare" / "input.txt"
    text, readings = source.read_text(encoding="utf-8"), (1, 1, 1)
else:
    source, text, readings = "the manual of Python", manual(), (1, 2, 7)
letters = sorted(set(text))
print(f"{source}: {len(text):,} characters, {len(letters)} different ones")

# %% 32 readers begin at 32 places; each reads 64 characters a step and goes on where it was
T, N, H, V = 64, 32, 128, len(letters)


def codes(some):
    """Numbers of the letters."""
    return numpy.array([letters.index(letter) for letter in some], dtype="int32")


length = (len(text) - 1) // N // T * T
numbers = codes(text[: length * N + 1])
read, following = numbers[:-1].reshape(N, length).T, numbers[1:].reshape(N, length).T
chunks = [{"tokens": read[t : t + T], "following": following[t : t + T]} for t in range(0, length, T)]

# %% Declare: gradients end at the border of a chunk, the state goes on (truncated backpropagation through time)
tokens = graphc.input("tokens", (T, N), dtype="int32")
following = graphc.input("following", (T, N), dtype="int32")
h = graphc.layers.carried(graphc.layers.lstm, tokens, H, name="memory", vocabulary=V)
scores = graphc.layers.dense(h, V, name="scores")
loss = graphc.softmax_cross_entropy(graphc.reshape(scores, (T * N, V)), graphc.reshape(following, (T * N,)))
# a network as small as this one leaves little to share between threads
trainer = graphc.Trainer(loss, optimizer=graphc.Adam(4e-3, clip_norm=5.0), threads=1, seed=0)

# %% One step of the same network, with the same parameters: compiled once, it writes at every stage of the training
letter = graphc.input("letter", ("N",), dtype="int32")
state = graphc.input("h", ("N", H)), graphc.input("c", ("N", H))
h, (h_new, c_new) = graphc.layers.lstm(
    graphc.reshape(letter, (1, -1)), H, name="memory", vocabulary=V, state=state, returns="both"
)
scores = graphc.layers.dense(h, V, name="scores")
write = graphc.compile([scores, h_new, c_new], parameters=trainer.parameters, threads=1, training=False)


def written(count, temperature):
    """Let the network go on where we begin."""
    begin = codes("The ")[:, None]
    drawn = graphc.sample(write, begin, count, state={"h": 0, "c": 0}, temperature=temperature, seed=1)
    return "The " + "".join(letters[k] for k in drawn[:, 0])


# %% Read and write: letters first, then words, then half a sentence
print(f"\nbefore (chance costs {numpy.log(V):.2f} nats a character):\n{written(200, 1.0)!r}")
for times in readings:
    for _ in range(times):
        for name in trainer.states:
            trainer.states[name][...] = 0.0  # the readers are back at their places
        trainer.fit(chunks)
    nats = trainer.history["loss"][-1]
    print(f"\nafter {trainer.epoch} readings, {nats:.2f} nats a character:\n{written(200, 0.8)!r}")
assert trainer.history["loss"][-1] < 2.0

# %% Temperature: 0 takes the best letter and goes round in circles, 1 draws as the network expects
for temperature in (0.0, 0.5, 1.0):
    print(f"\ntemperature {temperature}: {written(160, temperature)!r}")
