"""Geometry read back from a scene: where the labels are, where the wires run."""

from __future__ import annotations

import numpy as np

from graphc.drawing.scene import Box, Group, Item, Path, Scene, Text


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


def overlaps(scene: Scene) -> list[str]:
    """Pairs of labels that meet, labels that a wire touches, and anything beyond the page."""
    found = []
    boxes = label_boxes(scene)
    for k, (first, box) in enumerate(boxes):
        for second, other in boxes[k + 1 :]:
            if box.overlaps(other, slack=0.2):
                found.append(f"{first!r} meets {second!r} at {box} {other}")
        if box.left < 0 or box.top < 0 or box.right > scene.width or box.bottom > scene.height:
            found.append(f"{first!r} leaves the page: {box}")
    solid = boxes + [
        (group, outline_box(item))
        for group, item in walk(scene.items)
        if isinstance(item, Path) and item.fill and item.stroke
    ]
    corners = np.array([(b.left, b.top, b.right, b.bottom) for _, b in solid])
    for name, points in link_points(scene):
        hit = np.flatnonzero(touched(np.array(points), corners, 0.3))
        found += [f"{name} runs over {solid[k][0]!r} at {solid[k][1]}" for k in hit]
    return found


def touched(points: np.ndarray, corners: np.ndarray, slack: float) -> np.ndarray:
    """Which boxes, shape (B, 4), have one of the points, shape (P, 2), inside."""
    near = (corners[:, :2] < points.max(axis=0)).all(axis=1) & (corners[:, 2:] > points.min(axis=0)).all(axis=1)
    low, high = corners[near, None, :2] + slack, corners[near, None, 2:] - slack
    inside = (points[None] > low).all(axis=2) & (points[None] < high).all(axis=2)
    near[near] = inside.any(axis=1)
    return near
