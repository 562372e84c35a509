"""Colours. Position (above, below), weight and italics say the same, so colour is never the only cue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graphc.errors import DrawingError, did_you_mean

__all__ = ["THEMES", "Theme", "theme_named"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as six hexadecimal digits.

    Attributes
    ----------
    paper : str
        The page; every writer paints it.
    value, gradient : str
        Numbers above and below a wire.
    local, local_fill, frame : str
        Local gradients, the box they stand in, and its rim.
    ink, quiet, wire, grid : str
        Names and outlines; remarks; wires; lines behind a plot.
    gate_fill, accent : str
        Inside of a gate, and the glow around the one at work.
    right, wrong : str
        Verdicts; numbers that are not finite.
    linear, nonlinear : str
        Paths along which a gradient is passed on as it is, or bent.
    card_fills : tuple of str
        Inputs, layers with parameters, other layers, the result.
    value_bold : bool
        Values in bold, where colour cannot tell them from gradients.
    """

    paper: str = "FFFFFF"
    value: str = "005A9C"  # 7.1 : 1 on white
    gradient: str = "B34700"  # 5.5 : 1 on white; told apart from the values by every kind of colour vision
    local: str = "4A4A4A"
    local_fill: str = "F1F1EE"
    frame: str = "C9C9C2"
    ink: str = "1A1A1A"
    quiet: str = "6A6A6A"
    wire: str = "404040"
    grid: str = "DDDDDD"
    gate_fill: str = "FFFFFF"
    accent: str = "F2C230"
    right: str = "1B7A3D"
    wrong: str = "C0172C"
    linear: str = "005A9C"
    nonlinear: str = "B34700"
    card_fills: tuple[str, ...] = ("FFFFFF", "E6EFF7", "F6F1E4", "EEEEEE")
    value_bold: bool = False

    def mixed(self, colour: str, share: float) -> str:
        """Return a colour thinned with the paper.

        Parameters
        ----------
        share : float
            1 gives the colour, 0 the paper.
        """
        pairs = [(int(colour[k : k + 2], 16), int(self.paper[k : k + 2], 16)) for k in (0, 2, 4)]
        return "".join(f"{round(paper + share * (ink - paper)):02X}" for ink, paper in pairs)


#: The themes by name. ``classic`` is the green and red of many lecture slides: the two are told apart by position
#: and italics, not by every kind of colour vision. ``print`` needs black ink only, ``dark`` is for dark slides.
THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "default": Theme(),
        "classic": Theme(value="007A09", gradient="D40000"),
        "print": Theme(
            value="000000", gradient="5E5E5E", local="333333", local_fill="F2F2F2", frame="BBBBBB", ink="000000",
            quiet="5A5A5A", wire="303030", accent="C4C4C4", right="2A2A2A", wrong="000000", linear="000000",
            nonlinear="747474", card_fills=("FFFFFF", "EBEBEB", "F7F7F7", "DFDFDF"), value_bold=True,
        ),
        "dark": Theme(
            paper="14181F", value="6CB8FF", gradient="FF9F45", local="D0D4DA", local_fill="262C36", frame="4A5361",
            ink="F0F2F5", quiet="A5ADB9", wire="B8BFC9", grid="343B46", gate_fill="1D232C", accent="8A6A00",
            right="6FD08C", wrong="FF7B85", linear="6CB8FF", nonlinear="FF9F45",
            card_fills=("14181F", "1E2D40", "2E2A20", "2A2F38"),
        ),
    }
)  # fmt: skip


def theme_named(name: str | Theme) -> Theme:
    """Return a theme; a `Theme` of one's own is returned as it is.

    Raises
    ------
    DrawingError
        If no theme has this name.
    """
    if isinstance(name, Theme):
        return name
    if name not in THEMES:
        hint = did_you_mean(str(name), THEMES)
        raise DrawingError(f"no theme is called {name!r}; known: {', '.join(THEMES)}{hint}")
    return THEMES[name]
