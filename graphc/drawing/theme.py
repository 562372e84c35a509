"""Colours. Position (above, below) and italics say the same, so colour is never the only cue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graphc.errors import DrawingError, did_you_mean

__all__ = ["THEMES", "Theme", "theme_named"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as six hexadecimal digits."""

    value: str = "005A9C"  # 7.1 : 1 on white
    gradient: str = "B34700"  # 5.5 : 1 on white; told apart from the values by every kind of colour vision
    local: str = "4A4A4A"
    local_fill: str = "F1F1EE"
    ink: str = "1A1A1A"
    quiet: str = "6A6A6A"
    wire: str = "404040"
    gate_fill: str = "FFFFFF"
    accent: str = "F2C230"
    right: str = "1B7A3D"
    wrong: str = "C0172C"
    card_fills: tuple[str, ...] = ("FFFFFF", "E6EFF7", "F6F1E4", "EEEEEE")


#: The themes by name. ``classic`` is the green and red of many lecture slides.
THEMES: Mapping[str, Theme] = MappingProxyType(
    {"default": Theme(), "classic": Theme(value="00800A", gradient="E00000")}
)


def theme_named(name: str) -> Theme:
    """Return a theme.

    Raises
    ------
    DrawingError
        If no theme has this name.
    """
    if name not in THEMES:
        hint = did_you_mean(name, THEMES)
        raise DrawingError(f"no theme is called {name!r}; known: {', '.join(THEMES)}{hint}")
    return THEMES[name]
