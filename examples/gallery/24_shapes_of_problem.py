"""Shapes of problem: many to one, one to many, many to many, and delayed.

A sentence to its sentiment, an image to its caption, letters to the letters that follow, a sentence to its
translation: the same cell, read and answered at different steps.
"""

from shared import save

import graphc
from graphc.layers import dense, rnn

words = graphc.input("x", (4, "N", 3))
save(graphc.draw(dense(rnn(words, 5, name="read", returns="last"), 2, name="y"), style="recurrence"), "many_to_one")
save(graphc.draw(dense(rnn(words, 5, name="read"), 3, name="y"), style="recurrence"), "many_to_many")
image, said = graphc.input("image", ("N", 5)), graphc.input("said", (4, "N", 3))
save(graphc.draw(dense(rnn(said, 5, name="say", state=image), 3, name="y"), style="recurrence"), "one_to_many")
_, meaning = rnn(words, 5, name="read", returns="both")
save(graphc.draw(dense(rnn(said, 5, name="say", state=meaning), 3, name="y"), style="recurrence"), "delayed")
