"""Font sizes and pages: the whole picture is scaled, and every format has the page that was asked for."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path as FilePath
from typing import Any

import pytest

from graphc.drawing import draw, frames
from graphc.drawing.paper import PAGES
from graphc.drawing.scene import Text, texts
from graphc.errors import DrawingError
from tests.drawing.geometry import label_boxes, overlaps
from tests.drawing.graphs import convolutional_network, neuron, simple


def numbers(drawing: Any) -> list[Text]:
    return [text for text in texts(drawing.scene.items) if text.classes == "value"]


@pytest.mark.parametrize("size", [6, 12.5, 20.0])
def test_the_font_size_is_that_of_the_numbers_and_everything_grows_with_it(size: float) -> None:
    plain, drawing = draw(simple()), draw(simple(), font_size=size)
    assert [text.size for text in numbers(drawing)] == pytest.approx([size] * 5)
    factor = size / 12.5
    assert drawing.scene.width == pytest.approx(plain.scene.width * factor, abs=0.01)
    for text, before in zip(numbers(drawing), numbers(plain), strict=True):
        assert (text.x, text.y) == pytest.approx((before.x * factor, before.y * factor))
    assert overlaps(drawing.scene) == []


@pytest.mark.parametrize("page", PAGES)
def test_the_picture_stands_in_the_middle_of_its_page(page: str) -> None:
    drawing = draw(neuron(), page=page, direction="TB" if PAGES[page][1] > PAGES[page][0] else "LR")
    scene = drawing.scene
    assert (scene.width, scene.height) == PAGES[page]
    boxes = [box for _, box in label_boxes(scene)]
    left, right = min(b.left for b in boxes), max(b.right for b in boxes)
    top, bottom = min(b.top for b in boxes), max(b.bottom for b in boxes)
    assert min(left, top, scene.width - right, scene.height - bottom) >= 20
    assert f'viewBox="0 0 {scene.width:g} {scene.height:g}"' in drawing.svg()
    assert f"({scene.width:g},{scene.height:g});" in drawing.tikz()
    box = re.search(rb"/MediaBox .0 0 ([\d.]+) ([\d.]+).", drawing.pdf())
    assert box is not None
    assert (float(box[1]), float(box[2])) == PAGES[page]


def test_a_page_and_a_font_size_go_together_as_long_as_the_picture_fits() -> None:
    drawing = draw(simple(), page=(600, 400), font_size=10)
    assert (drawing.scene.width, drawing.scene.height) == (600, 400)
    assert [text.size for text in numbers(drawing)] == pytest.approx([10] * 5)
    with pytest.raises(DrawingError, match=r"on a page of 200 by 200 the largest font_size is [\d.]+"):
        draw(simple(), page=(200, 200), font_size=12).svg()


def test_frames_and_raster_pictures_have_the_page(tmp_path: FilePath) -> None:
    image = pytest.importorskip("PIL.Image")
    drawing = draw(simple(), page="slide", theme="dark")
    with image.open(BytesIO(drawing.png())) as picture:
        assert picture.size == pytest.approx((960 / 72 * 200, 540 / 72 * 200), abs=1.5)
    for file in frames(simple(), tmp_path / "steps.svg", page="slide"):
        assert 'viewBox="0 0 960 540"' in file.read_text("utf-8")


def test_cards_have_pages_too_and_their_own_engine() -> None:
    drawing = draw(convolutional_network(), page="a4-landscape")
    assert (drawing.scene.width, drawing.scene.height) == PAGES["a4-landscape"]
    assert drawing.engine == "layered"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page": "a4-landscpe"}, "no page is called .*; known: a4, a4-landscape.*did you mean 'a4-landscape'"),
        ({"page": (10, 20)}, r"page is a name .* or \(width, height\) in points, 72 to 14400 each, found \(10, 20\)"),
        ({"page": 3}, "page is a name"),
        ({"font_size": 0}, "font_size is the size of the numbers in points, 1 to 200, found 0"),
        ({"font_size": "12"}, "font_size is the size"),
        ({"fontsize": 12}, r"style='circuit' has no option fontsize=; it has .*font_size=.*did you mean 'font_size'"),
    ],
)
def test_sizes_that_are_none_are_refused(options: Any, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        draw(simple(), **options)
