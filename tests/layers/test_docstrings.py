"""What a layer's docstring promises: its sections, and examples that give what they print."""

from __future__ import annotations

import doctest
import importlib

import pytest

import graphc
from graphc.layers import regularisers
from graphc.planning import views

MODULES = sorted({getattr(graphc.layers, name).__module__ for name in graphc.layers.__all__})


@pytest.mark.parametrize("name", graphc.layers.__all__)
def test_a_layer_says_what_it_takes_returns_refuses_and_where_it_comes_from(name):
    text = getattr(graphc.layers, name).__doc__
    for section in ("Parameters", "Returns", "Raises", "Source", "Examples"):
        assert f"\n    {section}\n    {'-' * len(section)}\n" in text, section


@pytest.mark.parametrize("name", ["regularisers", "views", *MODULES])
def test_the_examples_give_what_they_print(name):
    own = {"regularisers": regularisers, "views": views}
    module = own.get(name) or importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0
