"""The picture of a profile: what its bars say for given times, and that it is the same for the same times."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing.profile import Part, Profile
from graphc.drawing.scene import Box, Group, Path, numbers_of
from graphc.errors import DataError, DrawingError
from tests.drawing.geometry import label_boxes, outline_box

PARTS = (
    Part("conv2d conv1", "loops", 1e-3, 0.0),
    Part("conv2d conv1", "convolution", 5e-3, 8e8),
    Part("dense scores", "contraction", 2e-3, 4e8),
    Part("velocity", "loops", 0.5e-3, 1e6),
    Part("velocity", "loops", 0.5e-3, 1e6),
    Part("new kind of gate", "transform_of_tiles", 1e-3, 0.0),
)


def made(parts=PARTS):
    return Profile(tuple(parts), 4e11, "One thread.", "the table")


def bars(profile):
    return [item for item in profile.scene.items if isinstance(item, Group) and item.classes == "bar"]


def texts(profile):
    return [text for text, _ in label_boxes(profile.scene)]


def test_launches_with_one_label_share_a_bar_and_the_longest_is_first():
    found = bars(made())
    assert [group.title for group in found] == [
        "conv2d conv1: 6.00 ms, 60 %; 33 % of the peak, loops + convolution",
        "dense scores: 2.00 ms, 20 %; 50 % of the peak, contraction",
        "velocity: 1.00 ms, 10 %; 0.5 % of the peak, loops",
        "new kind of gate: 1.00 ms, 10 %; 0.0 % of the peak, transform of tiles",
    ]


def test_lengths_are_times_and_colours_are_kinds():
    first, second, third, _ = bars(made())
    boxes = [[outline_box(path) for path in group.items] for group in (first, second, third)]
    lengths = [[box.right - box.left for box in group] for group in boxes]
    assert lengths[0][1] == pytest.approx(5 * lengths[0][0])
    assert lengths[1][0] == pytest.approx(2 * lengths[0][0])
    assert lengths[2][0] == pytest.approx(lengths[0][0])
    assert boxes[0][0].right == boxes[0][1].left
    colours = [[path.fill for path in group.items] for group in bars(made())]
    assert colours[0][0] == colours[2][0]
    assert len({colour for group in colours for colour in group}) == 4
    keys = [item for item in made().scene.items if isinstance(item, Group) and item.classes == "key"]
    assert {path.fill for key in keys for path in key.items} == {colour for group in colours for colour in group}


def test_times_and_shares_are_written():
    said = texts(made())
    assert "Where the time of a step goes: 10.0 ms, 30 % of the peak" in said
    assert "6.00 ms, 60 %; 33 % of the peak" in said
    assert "loops 20 %" in said
    assert "transform of tiles 10 %" in said
    assert "One thread." in said
    assert "conv2d conv1 60 %, dense scores 20 %" in made().scene.description


def test_many_groups_end_in_one_bar_for_the_others():
    profile = made([Part(f"gate {k}", "loops", 1e-3 * (100 - k), 0.0) for k in range(60)])
    found = bars(profile)
    assert len(found) == 25
    assert found[-1].title.startswith("36 others: ")
    assert sum(row.seconds for row in profile.parts) == pytest.approx(sum(100 - k for k in range(60)) * 1e-3)
    assert len(bars(made([Part(f"gate {k}", "loops", 1e-3, 0.0) for k in range(25)]))) == 25


LONG = [Part("bias " + "a_very_long_name_of_a_layer · " * 6, "loops", 2.0, 1.0), Part("x", "loops", 1e-7, 0.0)]


KINDS = ["convolution", "convolution_of_maps", "convolution_of_more", "correlation", "loops", "pooling", "scan", "sort"]
MANY = [Part(f"gate {k}", kind, 1e-3, 1e6) for k, kind in enumerate(KINDS)]


def test_kinds_of_one_family_have_colours_of_their_own():
    colours = {group.title.rpartition(", ")[2]: group.items[0].fill for group in bars(made(MANY))}
    assert len(colours) == len(set(colours.values())) == len(KINDS)
    keys = [item for item in made(MANY).scene.items if isinstance(item, Group) and item.classes == "key"]
    assert len({outline_box(key.items[0]).top for key in keys}) == 2  # the legend takes two lines


@pytest.mark.parametrize("parts", [PARTS, LONG, MANY, ()], ids=["some", "long names", "many kinds", "none"])
def test_nothing_overlaps_or_leaves_the_page(parts):
    profile = made(parts)
    boxes = label_boxes(profile.scene)
    shapes = [item for item in profile.scene.items if isinstance(item, Group)]
    drawn = [(group.title or "key", outline_box(path)) for group in shapes for path in group.items]
    page = Box(0, 0, profile.scene.width, profile.scene.height)
    for k, (name, box) in enumerate(boxes):
        assert page.left <= box.left
        assert box.right <= page.right
        assert box.bottom <= page.bottom
        for other, second in [*boxes[k + 1 :], *drawn]:
            assert not box.overlaps(second, slack=0.2), f"{name!r} meets {other!r}"


def test_the_same_times_give_the_same_bytes_in_every_format(tmp_path):
    first, second = made(), made()
    assert first.svg() == second.svg()
    root = ElementTree.fromstring(first.svg())
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert re.search(r'id="g[0-9a-f]{8}-title"', first._repr_svg_())
    assert str(first) == "the table"
    for suffix in ("svg", "pdf", "txt"):
        first.save(tmp_path / f"one.{suffix}")
        second.save(tmp_path / f"two.{suffix}")
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    pytest.importorskip("matplotlib", reason="PNG needs the extra draw")
    assert first.save(tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DrawingError, match="cannot write the suffix '.dot'"):
        first.save(tmp_path / "one.dot")


def test_paths_are_outlines_of_numbers():
    for group in bars(made()):
        for path in group.items:
            assert isinstance(path, Path)
            assert all(numpy.isfinite(numbers_of(command)).all() for command in path.commands)


# ---- of a step ---------------------------------------------------------------------------------


def test_a_step_is_profiled_and_written(tmp_path):
    x, w = graphc.input("x", ("N", 30)), graphc.parameter("w", (30, 8), initial=graphc.normal(1.0))
    step = graphc.compile([graphc.exp(graphc.matmul(x, w))], threads=1)
    with pytest.raises(DataError, match="has not run yet"):
        graphc.profile(step)
    data = numpy.random.default_rng(0).normal(size=(40, 30))
    (before,) = step(x=data)
    picture = graphc.profile(step, tmp_path / "step.svg")
    assert (tmp_path / "step.svg").read_text(encoding="utf-8") == picture.svg()
    assert {part.kind for part in picture.parts} >= {"rows", "contraction"}
    assert all(part.seconds > 0 for part in picture.parts)
    assert "derived loops" in str(picture)
    (after,) = step(x=data)
    numpy.testing.assert_array_equal(after, before)


def test_what_cannot_be_profiled_or_written_is_refused_before_any_work(tmp_path, monkeypatch):
    x = graphc.input("x", (3,))
    with pytest.raises(DataError, match="profile needs a compiled step, found Node"):
        graphc.profile(x)
    step = graphc.compile([graphc.exp(x)])
    step(x=[1.0, 2.0, 3.0])
    monkeypatch.setattr("graphc.kernels.cpu.report.measured", lambda _: pytest.fail("timed"))
    with pytest.raises(DrawingError, match="cannot write the suffix '.jpg'"):
        graphc.profile(step, tmp_path / "step.jpg")


def test_no_two_kinds_share_a_colour():
    kinds = [
        "convolution",
        "convolution_by_tiles",
        "convolution_of_runs",
        "correlation",
        "correlation_of_maps",
        "loops",
    ]
    kinds += ["correlation_of_runs", "moments", "moments_of_all", "sums", "rows", "strided"]
    kinds += ["chain", "product_chain"]
    parts = [Part(f"gate {k}", kind, 1e-3, 1e6) for k, kind in enumerate(kinds)]
    assert len({group.items[0].fill for group in bars(made(parts))}) == len(kinds)
