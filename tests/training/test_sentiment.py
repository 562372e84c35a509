"""Film reviews in tenfold cross-validation, without pretrained rows; the network is that of the example."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy
import pytest

import graphc

EXAMPLE = Path(graphc.__file__).parents[1] / "examples" / "14_sentiment.py"


@pytest.mark.slow
@pytest.mark.skipif("GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with the film reviews")
@pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not part of an installed graphc")
def test_three_of_four_sentences_are_judged_right_in_each_of_ten_parts():
    example = runpy.run_path(str(EXAMPLE))
    assert sum(len(part) for part in example["parts"]) == 10662
    found = [example["accuracy"]]
    for number in range(1, 10):
        train, validation, test, vocabulary = example["encoded"](number)
        found.append(example["trained"](train, validation, vocabulary).evaluate(test)["accuracy"])
    print(
        [f"{share:.1%}" for share in found], f"mean {numpy.mean(found):.1%}, deviation {numpy.std(found, ddof=1):.1%}"
    )
    assert numpy.mean(found) >= 0.75
    assert min(found) >= 0.72
