"""The registry of styles: every entry is there, and an option that a style lacks is refused with those that have it."""

from __future__ import annotations

import inspect
from pathlib import Path as FilePath

import pytest

from graphc.drawing import draw, frames
from graphc.drawing.styles import STYLES, checked_options, style_function, style_options
from graphc.errors import DrawingError
from tests.drawing.graphs import convolutional_network, simple


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_a_function_with_the_common_options(style: str) -> None:
    parameters = inspect.signature(style_function(style)).parameters
    assert list(parameters)[:3] == ["root", "back", "run"]
    assert {"theme", "direction", "digits", "engine"} <= set(parameters)
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values())
    own = [parameters[name] for name in style_options(style)]
    assert all(p.default is not p.empty for p in own), "an option has a default"


def test_an_unknown_style_is_refused_with_the_closest_one() -> None:
    with pytest.raises(DrawingError, match="unknown style 'circus'; known: circuit, cards.*did you mean 'circuit'"):
        draw(simple(), style="circus")


def test_an_option_of_another_style_is_named_with_it() -> None:
    with pytest.raises(DrawingError, match=r"style='cards' has no option work=; work= is an option of style='circuit'"):
        draw(simple(), style="cards", work=True)
    with pytest.raises(DrawingError, match=r"no option themes=; it has .*theme=.*did you mean 'theme'"):
        draw(simple(), themes="dark")
    checked_options("circuit", {"work": True, "exam": ["values"]})


def test_an_option_that_is_none_is_not_given() -> None:
    assert draw(simple(), style="cards", marks=None, exam=None).svg() == draw(simple(), style="cards").svg()


def test_the_natural_style_is_cards_for_networks_and_circuits_for_scalars() -> None:
    assert 'id="card-0"' in draw(convolutional_network()).svg()
    assert 'id="gate-2"' in draw(simple()).svg()


def test_only_pictures_with_steps_have_frames(tmp_path: FilePath) -> None:
    with pytest.raises(DrawingError, match="style='filters' has no steps here|style='cards' has no steps here"):
        frames(convolutional_network(), tmp_path / "steps.pdf", style="cards")
    assert list(tmp_path.iterdir()) == []


def test_dot_text_has_the_colours_of_the_theme() -> None:
    dot = draw(simple(), theme="dark").dot()
    assert 'bgcolor="#14181F"' in dot
    assert 'fontcolor="#F0F2F5"' in dot
