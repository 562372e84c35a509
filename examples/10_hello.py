"""How does a recurrent network learn to say "hello"?

The smallest character model of the lectures: four letters, three hidden units, four steps. It reads h, e, l, l, one
letter at a time, and shall answer with the letter that follows: e, l, l, o. Only its memory can tell the two l apart.
"""

# %% Declare: letters as one-hot vectors, a recurrent layer, a score for each letter at each step
import tempfile
from pathlib import Path

import numpy

import graphc

LETTERS = "helo"


def codes(text):
    """Numbers of letters, (T, 1): steps first, then the one example."""
    return numpy.array([[LETTERS.index(letter)] for letter in text], dtype="int32")


def network(tokens, state=None):
    """Scores (T, N, 4) of the next letters, and h behind the last step."""
    x = graphc.one_hot(tokens, classes=4).named("x")
    h, last = graphc.layers.rnn(x, 3, name="hidden", state=state, returns="both")
    return graphc.layers.dense(h, 4, name="scores"), last


tokens = graphc.input("tokens", (4, 1), dtype="int32")
target = graphc.input("target", (4, 1), dtype="int32")
scores, _ = network(tokens)
p = graphc.softmax(scores).named("p")
loss = graphc.softmax_cross_entropy(graphc.reshape(scores, (4, 4)), graphc.reshape(target, (4,)))
seen = loss + 0 * graphc.sum(p)  # so that one run gives the loss and the probabilities
data = {"tokens": codes("hell"), "target": codes("ello")}

# %% One step of training compiled, and one step of the network: it reads a letter and h, and gives scores and a new h
learn = graphc.compile([loss], optimizer=graphc.Adam(0.05), seed=1)
letter, h = graphc.input("letter", ("N",), dtype="int32"), graphc.input("h", ("N", 3))
single = network(graphc.reshape(letter, (1, -1)), h)
speak = graphc.compile(single, parameters=learn.parameters, training=False)


def spoken():
    """What the network says after "h", the best letter at each step."""
    said = graphc.sample(speak, LETTERS.index("h"), 4, state={"h": 0}, temperature=0)
    return "h" + "".join(LETTERS[k] for k in said[:, 0])


def show(title):
    """Print every step from the reference run, in float64."""
    run = graphc.backward(seen).at(data, parameters=learn.parameters)
    print(f"\n{title}: the loss is {run.value(loss):.3f} nats a letter, and it says {spoken()!r}")
    for t, (read, wanted) in enumerate(zip("hell", "ello", strict=True)):
        x, h, score, share = (run.value(name)[t, 0].round(2) for name in ("x", "hidden", "scores", "p"))
        print(f"step {t}: reads {read} {x.astype(int)}, hidden {h}")
        print(f"        scores of h e l o {score}, probabilities {share}; the next letter is {wanted}")
    return run


# %% Before training it guesses; letters that are all as likely would cost log 4 = 1.386 nats each
show("before")

# %% Train until it says the word, and is sure of it
steps, value = 0, numpy.inf
while steps < 300 and (value > 0.1 or spoken() != "hello"):
    (value,) = learn(**data)
    steps += 1
run = show(f"after {steps} steps")
assert spoken() == "hello"
assert (numpy.take_along_axis(run.value("p")[:, 0], data["target"], axis=1) > 0.8).all()

# %% Both l have the same input, and the hidden state tells them apart
second, third = run.value("hidden")[2:, 0]
print(f"\nhidden behind the first l {second.round(2)}, behind the second {third.round(2)}")
assert numpy.abs(second - third).max() > 0.5

# %% The parameters are the same at all steps: unrolled, the graph shows each step as gates of its own
folder = Path(tempfile.mkdtemp())
drawing = folder / "hello.svg"
graphc.draw(graphc.unrolled(loss), drawing)
print(f"{sum(array.size for array in learn.parameters.values())} parameters for all 4 steps; wrote {drawing}")
assert drawing.stat().st_size > 1000
