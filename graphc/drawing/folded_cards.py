"""Cards of a network that is too deep to be read card by card: repeated layers, and then neighbours, on one card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from graphc.drawing.cards import Card, Cards
from graphc.drawing.fonts import printable
from graphc.drawing.measures import combined
from graphc.drawing.repeats import repeats

__all__ = ["CARDS", "folded_cards"]

#: Cards above which a network is folded.
CARDS = 80
_LEAST_COPIES = 4  # the first and the last are drawn, what lies between is folded
_LEFT = 40  # cards to which neighbours are folded where repeats do not suffice


def folded_cards(cards: Cards, fold: object = "auto", *, limit: int = CARDS) -> Cards:
    """Fold repeated layers where there are too many cards.

    Parameters
    ----------
    cards : Cards
    fold : str or False, default ``"auto"``
        False never folds.
    limit : int
        Cards above which ``"auto"`` folds.

    Returns
    -------
    Cards
        Its ``note`` says what was folded; the same object where nothing was.
    """
    if fold is False or len(cards.cards) <= limit:
        return cards
    operands: list[list[int]] = [[] for _ in cards.cards]
    for tail, head in cards.links:
        operands[head].append(tail)
    labels = [(re.sub(r"\d+", "", c.name), c.gates, c.shape, c.count) for c in cards.cards]
    found = [repeat for repeat in repeats(labels, operands) if repeat.copies >= _LEAST_COPIES]
    folds = [range(r.start + r.period, r.stop - r.period) for r in found]
    copies = {r.start + r.period: (r.copies - 2, r.period) for r in found}
    if len(cards.cards) - sum(len(part) - 1 for part in folds) > limit:
        folds, copies = _neighbours(len(cards.cards)), {}
    return _contracted(cards, folds, copies)


def _neighbours(count: int) -> list[range]:
    """Parts of equal size; the first and the last card stay."""
    size = -(-(count - 2) // _LEFT)
    return [range(k, min(k + size, count - 1)) for k in range(1, count - 1, size)]


def _contracted(cards: Cards, folds: Sequence[range], copies: dict[int, tuple[int, int]]) -> Cards:
    # a card that the user expanded stays
    folds = [part for part in folds if len(part) > 1 and not any(cards.cards[k].inside for k in part)]
    owner = {k: part for part in folds for k in part}
    home: list[int] = []
    made: list[Card] = []
    for k, card in enumerate(cards.cards):
        part = owner.get(k)
        if part is None:
            made.append(replace(card, index=len(made)))
        elif k == part.start:
            made.append(_one_card([cards.cards[n] for n in part], len(made), *copies.get(k, (1, len(part)))))
        home.append(len(made) - 1)
    links = dict.fromkeys((home[a], home[b]) for a, b in cards.links if home[a] != home[b])
    hidden = sum(len(part) for part in folds)
    blocks = "one card" if len(folds) == 1 else f"{len(folds)} cards"
    note = f"{hidden:,} of {len(cards.cards):,} layers are folded into {blocks}; fold=False draws them all"
    said = f"{cards.description} {note}."
    return replace(cards, cards=tuple(made), links=tuple(links), description=said, note=note)


def _one_card(hidden: Sequence[Card], index: int, copies: int, period: int) -> Card:
    """The card that stands for others."""
    first, last = hidden[0], hidden[-1]
    begin, end = (name.partition(".")[0] for name in (_named(hidden[:period]), _named(hidden[-period:])))
    count = sum(card.count for card in hidden)
    gates = " · ".join(dict.fromkeys(gate for card in hidden for gate in card.gates.split(" · ")))
    times = f"{len(hidden)} layers" if copies < 2 else f"{copies} × {period} layers" if period > 1 else f"×{copies}"
    return replace(
        first,
        index=index,
        name=printable(begin if begin == end else f"{begin} … {end}", 28),
        gates=printable(f"{times}: {gates}", 36),
        shape=last.shape,
        count=count,
        count_text=f"{count:,}" if count else "",
        extra="",
        node="",
        measures=combined([card.measures for card in hidden]),
        inside=(),
    )


def _named(cards: Sequence[Card]) -> str:
    """Name of the first layer with a number in it, else of the first."""
    return next((card.name for card in cards if re.search(r"\d", card.name)), cards[0].name)
