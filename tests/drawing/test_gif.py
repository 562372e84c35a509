"""Animated GIF: all frames, one size, one table of colours, the last one longer."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.drawing import draw, frames
from graphc.drawing.gif import gif_bytes
from graphc.drawing.png import png_bytes
from graphc.drawing.scene import Box, Group, Scene, rounded
from graphc.errors import DrawingError
from tests.drawing.graphs import simple

pytest.importorskip("matplotlib")
Image: Any = pytest.importorskip("PIL.Image")


def pictures(data: bytes) -> tuple[list[Any], list[int]]:
    """Frames as arrays of colours, and how long each is shown."""
    with Image.open(BytesIO(data)) as animation:
        shown, times = [], []
        for frame in range(animation.n_frames):
            animation.seek(frame)
            times.append(animation.info["duration"])
            shown.append(np.asarray(animation.convert("RGB")).astype(int))
    return shown, times


def test_the_animation_is_the_frames(tmp_path: Path) -> None:
    run = simple()
    (file,) = frames(run, tmp_path / "steps.gif")
    data, scene = file.read_bytes(), draw(run).scene
    shown, times = pictures(data)
    assert times == [1200] * (scene.frames - 1) + [3600]
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in data  # starts again, for ever
    assert {frame.shape for frame in shown} == {shown[0].shape}
    assert shown[0].shape[1] == pytest.approx(scene.width / 72 * 120, abs=1.5)
    for frame, picture in enumerate(shown):
        expected = np.asarray(Image.open(BytesIO(png_bytes(scene, frame, 120.0))).convert("RGB")).astype(int)
        # surfaces are exact, blends at an edge near; another frame differs by whole letters
        difference = np.abs(picture - expected).max(axis=-1)
        assert difference.max() <= 32
        assert (difference == 0).mean() > 0.95
        assert (picture[0, 0] == 255).all()
        kinds, place, counts = np.unique(expected.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
        frequent = np.argsort(-counts)[:40]
        assert len(kinds) > 256  # so many that some have to move
        assert not difference.reshape(-1)[np.isin(place.reshape(-1), frequent)].any()


def test_the_same_scene_gives_the_same_bytes() -> None:
    scene = draw(simple()).scene
    assert gif_bytes(scene) == gif_bytes(scene)


def test_frames_that_look_alike_keep_their_time() -> None:
    box = rounded(Box(10, 10, 40, 30), 0, "1B7A3D")
    late = Group((rounded(Box(50, 10, 80, 30), 0, "C0172C"),), appears=3)
    shown, times = pictures(gif_bytes(Scene(90, 40, (box, late), "t", "d", 5)))
    assert sum(times) == 4 * 1200 + 3600
    assert (shown[0][30, 110] == 255).all()
    assert shown[-1][30, 110].tolist() == [0xC0, 0x17, 0x2C]
    assert shown[-1][30, 40].tolist() == [0x1B, 0x7A, 0x3D]


def test_a_large_picture_is_scaled_down() -> None:
    shown, _ = pictures(gif_bytes(Scene(7200, 72, (rounded(Box(0, 0, 3600, 72), 0, "1B7A3D"),), "t", "d", 1)))
    assert shown[0].shape[:2] == (40, 4000)


@pytest.mark.parametrize("package", ["matplotlib", "PIL"])
def test_without_a_package_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for loaded in [m for m in sys.modules if m == package or m.startswith(package + ".")]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DrawingError, match=r"a GIF needs matplotlib and Pillow.*pip install 'graphc\[draw\]'"):
        frames(simple(), tmp_path / "steps.gif")
    assert list(tmp_path.iterdir()) == []


def test_one_picture_is_no_animation(tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match=r"an animation: run\.frames\('f\.gif'\)"):
        draw(simple(), tmp_path / "f.gif")
