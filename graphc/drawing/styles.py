"""The kinds of pictures by name; each is a function of another module, loaded when it is asked for.

A style is a function ``(root, back, run, *, theme, direction, digits, engine, **options)`` that returns a
picture: ``back`` and ``run`` are None where only a node or a `Backward` was given. The names of its other
keyword arguments are its options; `graphc.draw` refuses any other.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean

__all__ = ["STYLES", "checked_options", "style_function", "style_options"]

#: Style, and where the function is that draws it.
STYLES: Mapping[str, str] = MappingProxyType(
    {
        "circuit": "graphc.drawing.drawing:circuit_drawing",
        "cards": "graphc.drawing.cards:cards_drawing",
        "architecture": "graphc.drawing.architecture:architecture_drawing",
        "feature_maps": "graphc.drawing.images:feature_maps",
        "filters": "graphc.drawing.images:filters",
        "paths": "graphc.drawing.paths:paths_drawing",
        "curve": "graphc.drawing.curves:curve_drawing",
        "recurrence": "graphc.drawing.recurrence:recurrence_drawing",
        "convolution": "graphc.drawing.convolution:convolution_drawing",
    }
)

_COMMON = ("theme", "direction", "digits", "engine")  # what every style is given


def style_function(style: str) -> Callable[..., Written]:
    """Return the function that draws a style.

    Raises
    ------
    DrawingError
        If no style has this name.
    """
    if style not in STYLES:
        raise DrawingError(f"unknown style {style!r}; known: {', '.join(STYLES)}{did_you_mean(str(style), STYLES)}")
    module, _, name = STYLES[style].partition(":")
    return getattr(importlib.import_module(module), name)


def style_options(style: str) -> tuple[str, ...]:
    """Return the names of the options that only this style, or some styles, have."""
    parameters = list(inspect.signature(style_function(style)).parameters)
    return tuple(name for name in parameters[3:] if name not in _COMMON)


def checked_options(style: str, options: Mapping[str, Any], common: Sequence[str] = ()) -> None:
    """Check that a style has all of these options.

    Parameters
    ----------
    common : sequence of str
        Options that every style has, named in the message.

    Raises
    ------
    DrawingError
        If it lacks one; the message says which styles have it.
    """
    own = style_options(style)
    for name in options:
        if name in own:
            continue
        others = [other for other in STYLES if other != style and name in style_options(other)]
        elsewhere = f"; {name}= is an option of style={' and of style='.join(map(repr, others))}" if others else ""
        shown = ", ".join(f"{option}=" for option in (*own, *common))
        hint = "" if others else did_you_mean(name, (*own, *common))
        raise DrawingError(f"style={style!r} has no option {name}={elsewhere}; it has {shown}{hint}")
