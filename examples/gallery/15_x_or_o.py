"""X or O: three filters and what they see.

An X of 9 x 9 pixels, the filters of the falling stroke, the rising stroke and the crossing, and the three feature
maps: 1 where all nine pixels agree.
"""

import numpy
from shared import save, texts

import graphc

picture = 2 * (numpy.eye(9) + numpy.eye(9)[::-1] > 0) - 1.0
picture[[0, -1]] = -1
falling = 2 * numpy.eye(3) - 1
cross = numpy.maximum(falling, falling[::-1])

image = graphc.input("image", ("N", 1, 9, 9))
weight = graphc.parameter("strokes", (3, 1, 3, 3))
agreement = (graphc.conv2d(image, weight) / 9).named("agreement")
pooled = graphc.max_pool2d(graphc.relu(agreement), 2, padding="same").named("pooled")
run = graphc.backward(graphc.sum(pooled)).at(
    image=picture[None, None], strokes=numpy.stack([falling, falling[::-1], cross])[:, None]
)
maps = run.value("agreement")[0]
assert maps[0, 0].round(2).tolist() == [0.78, -0.11, 0.11, 0.33, 0.56, -0.11, 0.33]
assert maps[2, 3, 3] == 1  # the crossing
assert run.value("pooled").shape == (1, 3, 4, 4)

save(graphc.draw(run, style="feature_maps", node="image"), "x_or_o_image")
save(graphc.draw(run, style="filters", parameter="strokes"), "x_or_o_filters")
said = texts(save(graphc.draw(run, style="feature_maps", node="agreement"), "x_or_o_maps"))
assert any(f"{maps.max():.4g}" in text for text in said)
save(graphc.draw(run, style="feature_maps", node="pooled"), "x_or_o_pooled")
