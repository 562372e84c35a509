r"""Names in claims: which node, step, size or gradient a written name means.

A name is looked up as written, then without underscores and braces (``w_{1}`` is ``w_1`` or ``w1``), in which
accents and primes are words (``\hat{y}`` is ``y_hat`` or ``yhat``, ``x'`` is ``x_prime``). Of a written-out repeat
``h[1]``, ``h_1`` and ``h^{(1)}`` are the node named ``h[1]``, and ``h[-1]`` is the last. ``h_{t-1}`` is ``h_prev`` (or
``h_previous``, ``h_old``, ``h_last``, ``h_tm1``, ``h'``), and beside such a node ``h_t`` is ``h``.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from graphc.errors import CheckError
from graphc.formula.size import Size
from graphc.graph.node import Node
from graphc.graph.shapes import Shape

if TYPE_CHECKING:
    from graphc.checking.circuit import Circuit

__all__ = ["GRADIENT", "GREEK", "Names", "nearest", "spelled"]

#: First character of a name that means the gradient of the root with respect to a node.
GRADIENT = "∂"

_LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon \
phi chi psi omega"

#: Greek letters by their names, small and capital, with the variants that keyboards and LaTeX have.
GREEK: Mapping[str, str] = {
    **{unicodedata.lookup(f"GREEK SMALL LETTER {n.replace('lambda', 'lamda').upper()}"): n for n in _LETTERS.split()},
    **{
        unicodedata.lookup(f"GREEK CAPITAL LETTER {n.replace('lambda', 'lamda').upper()}"): n.capitalize()
        for n in _LETTERS.split()
    },
    "ϵ": "epsilon",
    "ϑ": "theta",
    "ϕ": "phi",
    "ϱ": "rho",
    "ς": "sigma",
    "µ": "mu",
}

_PREVIOUS = ("prev", "previous", "old", "last", "tm1", "tminus1", "prime", "before")
_NEXT = ("next", "new", "tp1", "tplus1", "after")

#: Names by which people call what is differentiated.
_ROOTS = ("f", "L", "J", "E", "C", "loss", "cost")


def spelled(name: str) -> str:
    """Write Greek letters of a name as words."""
    return "".join(GREEK.get(character, character) for character in name)


def _key(name: str) -> str:
    return re.sub(r"[_{}\[\]., ]", "", spelled(name)).replace("'", "prime")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for a known name that is close or differs in case only, else nothing."""
    known = list(known)
    same = [other for other in known if name.lower() in (other.lower(), other.lower().partition("[")[0])]
    close = same or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class Names:
    """Names that a claim may use, and the nodes they mean.

    Leaves and named nodes go by name; ``f`` is the root where no node has that name. Sizes go by the name of
    their axis. ``define`` adds names of a derivation.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.root = circuit.root
        self.nodes: dict[str, list[Node]] = {}
        for node in circuit.nodes:
            if node.name is not None:
                self.nodes.setdefault(node.name, []).append(node)
        self.nodes.setdefault("f", [circuit.root])
        for node in circuit.nodes:  # labels such as add_7 are printed in tables, so they can be typed
            self.nodes.setdefault(node.label, [node])
        named = [n for n in self.nodes if n == "f" or self.nodes[n][0].name == n]
        self.shown = [n for n in named if re.fullmatch(r"[\w.\[\]]+", n)]  # what can be typed
        #: Shape of each name; gradients are added as they are met.
        self.shapes: dict[str, Shape] = {name: nodes[0].shape for name, nodes in self.nodes.items()}
        #: Names of a derivation's earlier lines.
        self.defined: set[str] = set()
        self.sizes: dict[str, tuple[str, int]] = {}
        for name, nodes in self.nodes.items():
            for axis, extent in enumerate(nodes[0].shape):
                if isinstance(extent, Size) and str(extent).isidentifier() and str(extent) not in self.nodes:
                    self.sizes.setdefault(str(extent), (name, axis))
        self._steps: dict[str, list[int]] = {}  # steps of a written-out repeat: h[0], h[1], ...
        for name in self.nodes:
            stepped = re.fullmatch(r"(.+)\[(\d+)\]", name)
            if stepped is not None:
                self._steps.setdefault(stepped[1], []).append(int(stepped[2]))
        self._keys: dict[str, list[str]] = {}
        for name in self.nodes:
            self._keys.setdefault(_key(name), []).append(name)

    def define(self, name: str, shape: Shape) -> None:
        """Make a further name readable, whose value the caller gives when a claim is evaluated.

        Raises
        ------
        CheckError
            If a node or a size has that name.
        """
        if name in self.nodes or name in self.sizes:
            raise CheckError(f"{name!r} is a name of the graph; give the line another name")
        self.defined.add(name)
        self.shapes[name] = shape
        keys = self._keys.setdefault(_key(name), [])
        if name not in keys:
            keys.append(name)

    def find(self, name: str) -> Node:
        """Return the node of a name.

        Raises
        ------
        CheckError
            If there is none, or more than one.
        """
        found = self.nodes.get(name)
        if found is None:
            match = self.match(name)
            found = self.nodes.get(match) if match is not None else None
        if found is None:
            raise self.unknown(name)
        if len(found) > 1:
            sites = ", ".join(str(node.site) for node in found)
            raise CheckError(
                f"the name {name!r} means {len(found)} nodes, declared at {sites}; give one of them another name"
            )
        return found[0]

    def unknown(self, name: str) -> CheckError:
        """Return the error that no node has a name."""
        known = [*self.shown, *sorted(self.defined)]
        sizes = f"; sizes are {', '.join(self.sizes)}" if self.sizes else ""
        step = re.fullmatch(r"(.+)_\{?(\w+[-+]\d+)\}?", name)
        if step is not None and not nearest(name, known):
            base = step[1]
            return CheckError(
                f"{name!r} has the running index {step[2]!r}, and the graph has no node named {base}_prev or the like; "
                f"write the step itself, as in {base}_1, or name the node {base}_prev; its names are {', '.join(known)}"
            )
        hint = nearest(name, known)
        found = f"ts names are {', '.join(known)}{sizes}"
        return CheckError(f"there is no node {name!r} in the graph{hint}{' I' if hint else '; i'}{found}")

    def match(self, written: str) -> str | None:
        """Return the name of the graph, or of a defined line, that a written name means; None if there is none.

        Raises
        ------
        CheckError
            If it may mean several.
        """
        if written in self.nodes or written in self.defined:
            return written
        parts = [part for part in re.split(r"[_{}]", written) if part]
        for order in itertools.permutations(parts) if 1 < len(parts) <= 3 else [parts]:
            found = self._keys.get(_key("".join(order)), [])
            if len(found) > 1:
                raise CheckError(f"{written!r} can mean {' and '.join(map(repr, found))}; write the name in full")
            if found:
                return found[0]
        if written == "lambda":  # a word of Python, so that people shorten it
            return self.match("lam")
        return self._step(parts)

    def step(self, base: str, step: int) -> str | None:
        """Return the name of a node at a step of a repeat, counted from the end if negative; None for no repeat.

        Raises
        ------
        CheckError
            If the repeat has no such step.
        """
        steps = self._steps.get(base)
        if steps is None:
            return None
        found = step if step >= 0 else max(steps) + 1 + step
        if found not in steps:
            raise CheckError(f"{base}[{step}] is no step of {base!r}, whose steps are {min(steps)} to {max(steps)}")
        return f"{base}[{found}]"

    def _step(self, parts: list[str]) -> str | None:
        """Node of ``h_{t-1}``, ``h_{t+1}``, and of ``h_t`` beside a node for the step before."""
        if len(parts) != 2 or not re.fullmatch(r"t([-+]1)?", parts[1]):
            return None
        base, step = parts
        words = {"t-1": _PREVIOUS, "t+1": _NEXT}.get(step)
        if words is None:
            cell = any(key.endswith(_PREVIOUS) for key in self._keys)
            found = self._keys.get(_key(base), []) if cell else []
        else:
            found = [name for word in words for name in self._keys.get(_key(base + word), [])]
        return found[0] if found else None

    def gradient(self, written: str) -> Node | None:
        """Return the node h that a name such as ``dh``, ``grad_h``, ``dL_dh`` or ``∂h`` means the gradient of."""
        roots = "|".join(_ROOTS)
        for pattern in (rf"d(?:{roots})_?d_?(.+)", r"grad_?(.+)", r"(.+)_grad", r"d_?(.+)", rf"{GRADIENT}(.+)"):
            found = re.fullmatch(pattern, written)
            match = self.match(found[1]) if found is not None else None
            if match is not None and match in self.nodes:
                node = self.find(match)
                return node if node.is_float and node.kind != "constant" else None
        return None

    def upstream(self, node: Node) -> str:
        """Return the name of the gradient with respect to a node, and make its shape known."""
        name = GRADIENT + node.label
        self.shapes[name] = node.shape
        return name

    def is_root(self, written: str) -> bool:
        """Whether a name means what is differentiated: by name, or by a usual letter that no other node has."""
        match = self.match(written)
        return self.find(match) is self.root if match in self.nodes and match is not None else written in _ROOTS
