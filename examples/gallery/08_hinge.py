"""The hinge of the cat image.

Scores 3.2 (cat, the true class), 5.1 (car) and -1.7 (frog): the car comes within the margin 1, the frog does not, and
its maximum passes no gradient. All three images at once: 2.9, 0 and 12.9, on average 5.2667.
"""

from shared import save, wires

import graphc

cat, car, frog = graphc.inputs("cat car frog")
too_near = graphc.max(0, car - cat + 1).named("car too near")
loss = (too_near + graphc.max(0, frog - cat + 1)).named("L")
run = graphc.backward(loss).at(cat=3.2, car=5.1, frog=-1.7)

printed = wires(save(run.draw(), "hinge"))
assert printed["L"] == ("2.9", "1")
assert [printed[name][1] for name in ("cat", "car", "frog")] == ["−1", "1", "0"]

scores, label = graphc.input("scores", (3, 3)), graphc.input("label", (3,), dtype="int32")
each = graphc.multiclass_hinge(scores, label, reduction="none").named("each image")
run = graphc.backward(graphc.mean(each).named("loss")).at(
    scores=[[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], label=[0, 1, 2]
)
assert run.value("each image").round(9).tolist() == [2.9, 0, 12.9]
assert round(float(run.value("loss")), 4) == 5.2667
