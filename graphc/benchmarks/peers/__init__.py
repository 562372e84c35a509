"""Libraries to compare with. Each is imported only when it is asked for, by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from typing import cast

from graphc.benchmarks.runner import Peer
from graphc.errors import GraphcError, did_you_mean

__all__ = ["PEERS", "installed", "peers"]

#: Name on the command line (which is also that of the package) -> module with its models.
PEERS: Mapping[str, str] = {"torch": "graphc.benchmarks.peers.torch", "jax": "graphc.benchmarks.peers.jax"}


def installed() -> list[str]:
    """Names of the peers that are installed."""
    return [name for name in PEERS if importlib.util.find_spec(name) is not None]


def peers(names: Iterable[str] | None) -> list[Peer]:
    """Return peers by name; without names, those that are installed.

    Raises
    ------
    GraphcError
        If a peer is unknown or not installed.
    """
    found = installed()
    chosen = found if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in PEERS:
            raise GraphcError(f"--against: no peer {name!r}{did_you_mean(name, PEERS)}; peers: {', '.join(PEERS)}")
        if name not in found:
            raise GraphcError(f'--against: {name} is not installed; python -m pip install "graphc[bench]"')
    return [cast(Peer, importlib.import_module(PEERS[name])) for name in chosen]
