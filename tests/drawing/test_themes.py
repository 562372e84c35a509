"""Themes: every text can be read on its paper, and values are told from gradients by everybody."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pytest

from graphc.drawing import draw
from graphc.drawing.theme import THEMES, Theme, theme_named
from graphc.errors import DrawingError
from tests.drawing.colours import VISION, contrast, distance, lightness
from tests.drawing.graphs import simple

TEXTS = ("value", "gradient", "local", "ink", "quiet", "right", "wrong", "linear", "nonlinear")


def hexadecimal(theme: Theme) -> set[str]:
    """Every colour of a theme."""
    values = [getattr(theme, name) for name in Theme.__dataclass_fields__]
    return {c for v in values for c in (v if isinstance(v, tuple) else (v,)) if isinstance(c, str)}


@pytest.mark.parametrize("name", THEMES)
def test_every_text_can_be_read_on_the_surfaces_it_stands_on(name: str) -> None:
    theme = THEMES[name]
    for colour in TEXTS:
        assert contrast(getattr(theme, colour), theme.paper) >= 4.5, colour
    for colour, fill in [("local", theme.local_fill), ("ink", theme.gate_fill)]:
        assert contrast(getattr(theme, colour), fill) >= 4.5
    # a card says its name, its shape, its gates and the gradient there
    for fill in theme.card_fills:
        for colour in ("ink", "value"):
            assert contrast(getattr(theme, colour), fill) >= 4.5, (fill, colour)
        for colour in ("quiet", "gradient"):
            assert contrast(getattr(theme, colour), fill) >= 4.5, (fill, colour)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", ["default", "dark"])
@pytest.mark.parametrize("pair", [("value", "gradient"), ("linear", "nonlinear")])
def test_values_and_gradients_are_told_apart_by_every_kind_of_colour_vision(
    name: str, vision: str, pair: tuple[str, str]
) -> None:
    theme = THEMES[name]
    assert distance(*(getattr(theme, colour) for colour in pair), vision) >= 60


def test_the_simulation_sees_what_is_known_of_green_and_red() -> None:
    # CIE76 distances of the lecture's green and red, and of Okabe and Ito's blue and vermillion
    assert [round(distance("008000", "FF0000", v)) for v in ("protan", "deutan")] == [10, 24]
    assert [round(distance("0072B2", "D55E00", v)) for v in VISION] == [115, 92, 108, 102]
    assert min(distance(THEMES["classic"].value, THEMES["classic"].gradient, v) for v in VISION) < 60


def test_a_greyscale_print_keeps_values_and_gradients_apart() -> None:
    theme = THEMES["print"]
    assert all(c[0:2] == c[2:4] == c[4:6] for c in hexadecimal(theme)), "only greys"
    assert abs(lightness(theme.value) - lightness(theme.gradient)) >= 25
    assert abs(lightness(theme.linear) - lightness(theme.nonlinear)) >= 25
    root = draw(simple(), theme="print").svg()
    for kind, weight, style in [("value", True, False), ("gradient", False, True)]:
        for text in re.findall(rf'<text[^>]* class="{kind}"[^>]*>', root):
            assert ('font-weight="bold"' in text, 'font-style="italic"' in text) == (weight, style)


@pytest.mark.parametrize("name", THEMES)
def test_only_colours_of_the_theme_are_painted_and_the_paper_first(name: str) -> None:
    svg = draw(simple(), theme=name).svg()
    assert set(re.findall(r"#([0-9A-F]{6})", svg)) <= hexadecimal(THEMES[name])
    assert (
        re.search(r'<rect width="[\d.]+" height="[\d.]+" fill="#([0-9A-F]{6})"/>', svg).group(1) == THEMES[name].paper
    )  # type: ignore[union-attr]


@pytest.mark.parametrize("name", THEMES)
def test_every_writer_paints_the_paper(name: str, tmp_path: Any) -> None:
    import zlib

    drawing, paper = draw(simple(), theme=name), THEMES[name].paper
    stream = re.findall(rb"stream\n(.*?)\nendstream", drawing.pdf(), re.DOTALL)[0]
    painted = [float(v) for v in zlib.decompress(stream).split(b" rg", 1)[0].split()]
    assert painted == pytest.approx([int(paper[k : k + 2], 16) / 255 for k in (0, 2, 4)], abs=0.005)
    assert f"fill=graphc{paper}] (0,0) rectangle" in drawing.tikz()
    assert f'fill="#{paper}"/>' in drawing.html()
    assert f"--paper: #{paper};" in drawing.html()
    image = pytest.importorskip("PIL.Image")
    with image.open(BytesIO(drawing.png())) as picture:
        assert picture.convert("RGB").getpixel((2, 2)) == tuple(int(paper[k : k + 2], 16) for k in (0, 2, 4))
    from graphc.drawing.gif import gif_bytes

    with image.open(BytesIO(gif_bytes(drawing.scene, 40))) as picture:
        for frame in range(picture.n_frames):
            picture.seek(frame)
            assert picture.convert("RGB").getpixel((2, 2)) == tuple(int(paper[k : k + 2], 16) for k in (0, 2, 4))


def test_a_theme_of_ones_own_is_taken_as_it_is_and_an_unknown_one_refused() -> None:
    own = Theme(value="112233")
    assert theme_named(own) is own
    assert "112233" in draw(simple(), theme=own).svg()
    with pytest.raises(
        DrawingError, match="no theme is called 'drak'; known: default, classic, print, dark; did you mean 'dark'"
    ):
        draw(simple(), theme="drak")
    with pytest.raises(DrawingError, match="no theme is called 3"):
        draw(simple(), theme=3)  # type: ignore[arg-type]


def test_colours_mix_with_the_paper() -> None:
    assert [THEMES["default"].mixed("005A9C", share) for share in (0.0, 0.5, 1.0)] == ["FFFFFF", "80ACCE", "005A9C"]
    assert THEMES["dark"].mixed("6CB8FF", 0.0) == "14181F"
