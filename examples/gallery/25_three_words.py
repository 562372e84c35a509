"""A language model that sees three words.

Each word becomes a vector of the same table; the three vectors stand side by side, a hidden layer, and a score for
each word that may follow.
"""

from shared import save, texts

import graphc
from graphc.layers import dense, embedding

words, follows = graphc.input("words", ("N", 3), dtype="int32"), graphc.input("follows", ("N",), dtype="int32")
vectors = graphc.flatten(embedding(words, 1000, 30, name="table")).named("side by side")
hidden = graphc.tanh(dense(vectors, 100, name="hidden"))
loss = graphc.softmax_cross_entropy(dense(hidden, 1000, name="scores"), follows).named("loss")

count = graphc.count(loss)
assert (count["table"].parameters, count["hidden"].parameters) == (30_000, 9_100)
said = " ".join(texts(save(graphc.draw(loss, style="cards"), "three_words")))
assert all(f"{count[name].parameters:,} parameters" in said for name in ("table", "hidden", "scores"))
