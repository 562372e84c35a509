"""Verbs that upper floors lend to nodes (``draw``, ``frames``); the package root fills the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.errors import GraphcError

__all__ = ["known", "lookup", "register"]

_loaders: dict[str, Callable[[], Callable[..., Any]]] = {}


def register(verb: str, loader: Callable[[], Callable[..., Any]]) -> None:
    """Lend a verb: ``loader()`` returns the function when it is first used."""
    _loaders[verb] = loader


def known(verb: str) -> bool:
    """Whether a verb has been lent."""
    return verb in _loaders


def lookup(verb: str) -> Callable[..., Any]:
    """Return the function of a verb.

    Raises
    ------
    GraphcError
        If nobody lent it.
    """
    loader = _loaders.get(verb)
    if loader is None:
        raise GraphcError(f"the verb {verb!r} is not available; import graphc, not its parts")
    return loader()
