"""Colour as people see it: contrast, distance, and the three kinds of colour-blind vision.

Source: G. Machado, M. Oliveira, L. Fernandes, "A Physiologically-based Model for Simulation of Color Vision
Deficiency", IEEE Trans. Vis. Comput. Graph. 15(6), 2009, table 1 at severity 1.0 (matrices on linear RGB); CIE 1976
L*a*b* with the white point D65; WCAG 2.1 (relative luminance, contrast).
"""

from __future__ import annotations

import numpy as np

VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(code: str) -> np.ndarray:
    """Linear RGB of a colour of six hexadecimal digits."""
    parts = np.array([int(code[k : k + 2], 16) / 255 for k in (0, 2, 4)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB."""
    ratio = _TO_XYZ @ np.clip(rgb, 0, 1) / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(first: str, second: str, vision: str = "normal") -> float:
    """CIE76 distance of two colours as one kind of vision sees them."""
    seen = [lab(VISION[vision] @ linear(code)) for code in (first, second)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def lightness(code: str) -> float:
    """CIE lightness, 0 black to 100 white: what a greyscale print keeps."""
    return float(lab(np.full(3, luminance(code)))[0])


def luminance(code: str) -> float:
    """Relative luminance."""
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(code))


def contrast(first: str, second: str) -> float:
    """Contrast ratio, 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
