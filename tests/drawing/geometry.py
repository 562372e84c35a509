"""Geometry read back from a scene: where the labels are, where the wires run."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from graphc.drawing.scene import Box, Group, Item, Path, Scene, Text, numbers_of


def walk(items: tuple[Item, ...], group: str = "") -> list[tuple[str, Item]]:
    """Every text and path with the id of the nearest group that has one."""
    found: list[tuple[str, Item]] = []
    for item in items:
        if isinstance(item, Group):
            found += walk(item.items, item.id or group)
        else:
            found.append((group, item))
    return found


def label_boxes(scene: Scene) -> list[tuple[str, Box]]:
    """Box of the ink of every text and formula, with what it says."""
    boxes = []
    for _, item in walk(scene.items):
        if isinstance(item, Text):
            box = Box(item.x, item.y - 0.72 * item.size, item.x + item.length, item.y + 0.21 * item.size)
            boxes.append((item.text, box))
        elif isinstance(item, Path) and item.label:
            boxes.append((item.label, outline_box(item)))
    return boxes


def outline_box(path: Path) -> Box:
    xs = [v for c in path.commands for v in c[1::2]]
    ys = [v for c in path.commands for v in c[2::2]]
    return Box(min(xs), min(ys), max(xs), max(ys))


def link_points(scene: Scene) -> list[tuple[str, list[tuple[float, float]]]]:
    """Every wire between blocks as points at most about two points apart."""
    wires = []
    for group, item in walk(scene.items):
        if group.startswith("link-") and isinstance(item, Path) and not item.fill:
            wires.append((group, flattened(item)))
    return wires


def flattened(path: Path) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    here = (0.0, 0.0)
    for command in path.commands:
        numbers = command[1:]
        if command[0] == "M":
            points.append((numbers[0], numbers[1]))
        elif command[0] == "L":
            x, y = numbers
            steps = max(1, int(max(abs(x - here[0]), abs(y - here[1])) / 2))
            points += [
                (here[0] + (x - here[0]) * k / steps, here[1] + (y - here[1]) * k / steps) for k in range(1, steps + 1)
            ]
        elif command[0] == "C":
            x1, y1, x2, y2, x, y = numbers
            size = abs(x - here[0]) + abs(y - here[1])
            steps = max(4, int(size / 1.5))
            for k in range(1, steps + 1):
                t = k / steps
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                points.append((a * here[0] + b * x1 + c * x2 + d * x, a * here[1] + b * y1 + c * y2 + d * y))
        if numbers:
            here = (numbers[-2], numbers[-1])
    return points


def element_boxes(scene: Scene) -> dict[str, Box]:
    """Box of every element (a gate with its tags and its wire) or card, by its number."""
    found: dict[str, Box] = {}
    for group, item in walk(scene.items):
        match = _ELEMENT.fullmatch(group)
        if match is None:
            continue
        if isinstance(item, Text):
            box = Box(item.x, item.y - 0.72 * item.size, item.x + item.length, item.y + 0.21 * item.size)
        else:
            box = outline_box(item)
        key = match[1] or match[2]
        old = found.get(key, box)
        found[key] = Box(
            min(old.left, box.left), min(old.top, box.top), max(old.right, box.right), max(old.bottom, box.bottom)
        )
    return found


_ELEMENT = re.compile(r"(?:gate|wire|card)-(\d+)|wire-\d+-local-(\d+)-\d+-tag")


def overlaps(scene: Scene) -> list[str]:
    """Labels, elements and wires that meet where they must not, and anything beyond the page.

    Labels against labels, labels and filled shapes against wires, elements against elements, wires through elements.
    """
    found = []
    labels = label_boxes(scene)
    found += [f"{labels[a]} meets {labels[b]}" for a, b in meeting(corners_of([b for _, b in labels]), 0.2)]
    found += [
        f"{name!r} leaves the page: {box}"
        for name, box in labels
        if box.left < 0 or box.top < 0 or box.right > scene.width or box.bottom > scene.height
    ]
    elements = list(element_boxes(scene).items())
    blocks = corners_of([box for _, box in elements])
    found += [f"element {elements[a]} meets {elements[b]}" for a, b in meeting(blocks, 0.5)]
    solid = labels + [
        (group, outline_box(item))
        for group, item in walk(scene.items)
        if isinstance(item, Path) and item.fill and item.stroke
    ]
    corners = corners_of([box for _, box in solid])
    for group, item in walk(scene.items):
        if group.startswith("link-") and isinstance(item, Path) and not item.fill:
            found += [f"{group} runs over {solid[k][0]!r} at {solid[k][1]}" for k in crossed(item, corners, 0.3)]
            # the glow of a gate and the dot of a fan-out stand out of their element, so a wire ends a little inside
            found += [f"{group} runs through element {elements[k]}" for k in crossed(item, blocks, 3.5)]
    return found


def corners_of(boxes: Sequence[Box]) -> np.ndarray:
    """Left, top, right, bottom of boxes, shape (B, 4)."""
    return np.array([(b.left, b.top, b.right, b.bottom) for b in boxes]).reshape(-1, 4)


def meeting(corners: np.ndarray, slack: float) -> list[tuple[int, int]]:
    """Pairs of boxes whose interiors, shrunk by ``slack``, meet."""
    order = np.argsort(corners[:, 0], kind="stable")
    lefts = corners[order, 0]
    pairs = []
    for rank, k in enumerate(order):
        stop = np.searchsorted(lefts, corners[k, 2] - slack)  # those further right begin behind this one
        others = order[rank + 1 : stop]
        near = corners[others]
        hit = (
            (near[:, 2] - slack > corners[k, 0]) & (near[:, 3] - slack > corners[k, 1])
            & (near[:, 1] + slack < corners[k, 3])
        )  # fmt: skip
        pairs += [(int(k), int(other)) for other in others[hit]]
    return pairs


def crossed(path: Path, corners: np.ndarray, slack: float) -> list[int]:
    """Which boxes a wire runs through: level and upright pieces exactly, others at points 1.5 points apart."""
    found: set[int] = set()
    here = (0.0, 0.0)
    for command in path.commands:
        numbers = numbers_of(command)
        if not numbers:
            continue
        there = (numbers[-2], numbers[-1])
        if command[0] != "M":
            xs, ys = (here[0], *numbers[::2]), (here[1], *numbers[1::2])
            low, high = (min(xs), min(ys)), (max(xs), max(ys))
            near = np.flatnonzero(
                (corners[:, 0] + slack < high[0]) & (corners[:, 2] - slack > low[0])
                & (corners[:, 1] + slack < high[1] + 1e-9) & (corners[:, 3] - slack > low[1] - 1e-9)
            )  # fmt: skip
            if len(near) and command[0] == "C":
                points = np.array(flattened(Path((("M", *here), command))))
                near = near[touched(points, corners[near], slack)]
            elif len(near) and low[0] != high[0] and low[1] != high[1]:
                points = np.array(flattened(Path((("M", *here), ("L", *there)))))
                near = near[touched(points, corners[near], slack)]
            found.update(int(k) for k in near)
        here = there
    return sorted(found)


def touched(points: np.ndarray, corners: np.ndarray, slack: float) -> np.ndarray:
    """Which boxes, shape (B, 4), have one of the points, shape (P, 2), inside."""
    near = (corners[:, :2] < points.max(axis=0)).all(axis=1) & (corners[:, 2:] > points.min(axis=0)).all(axis=1)
    low, high = corners[near, None, :2] + slack, corners[near, None, 2:] - slack
    inside = (points[None] > low).all(axis=2) & (points[None] < high).all(axis=2)
    near[near] = inside.any(axis=1)
    return near
