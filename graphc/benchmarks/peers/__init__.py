"""Libraries to compare with. Each is imported only when it is asked for, by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from typing import cast

from graphc.benchmarks.runner import Peer
from graphc.errors import GraphcError, did_you_mean

__all__ = ["OPTIONAL", "PEERS", "installed", "peers"]

#: Name on the command line (which is also that of the package) -> module with its models.
PEERS: Mapping[str, str] = {
    name: f"graphc.benchmarks.peers.{name}" for name in ("torch", "jax", "pytensor", "tinygrad")
}
#: Peers that take part only where they are named: a few workloads are written for them, and no extra installs them.
OPTIONAL = ("pytensor", "tinygrad")


def installed() -> list[str]:
    """Names of the peers that are installed, but for those that have to be named."""
    return [name for name in PEERS if name not in OPTIONAL and _found(name)]


def _found(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def peers(names: Iterable[str] | None) -> list[Peer]:
    """Return peers by name; without names, those that are installed.

    Raises
    ------
    GraphcError
        If a peer is unknown or not installed.
    """
    chosen = installed() if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in PEERS:
            raise GraphcError(f"--against: no peer {name!r}{did_you_mean(name, PEERS)}; peers: {', '.join(PEERS)}")
        if not _found(name):
            what = name if name in OPTIONAL else '"graphc[bench]"'
            raise GraphcError(f"--against: {name} is not installed; python -m pip install {what}")
    return [cast(Peer, importlib.import_module(PEERS[name])) for name in chosen]
