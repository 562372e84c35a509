"""What recurrent layers share: options, initial states, directions, stacking, masks, and the steps themselves.

Sequences have their steps first: (T, N, ...). A layer declares its parameters once, `graphc.unroll` applies its cell at
every step, and the cell is kept once whatever T is. A step mask makes examples of different length out of one batch:
where it is 0, the state stays and the output is 0, so that what stands there changes neither a loss nor a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy

from graphc.errors import ShapeError, did_you_mean
from graphc.graph import Definition, Gate, Node, Shape, parameter, registry, shape_text, state, update
from graphc.graph.node import call_site
from graphc.graph.unroll import unroll
from graphc.layers.dropout import dropout
from graphc.layers.initialisers import Initialiser, orthogonal, xavier
from graphc.layers.layer_norm import layer_norm
from graphc.layers.parts import numbers, refusal

__all__ = [
    "Kind",
    "Options",
    "Step",
    "carried",
    "check_sequence",
    "each_gate",
    "forget_bias",
    "layered",
    "step_mask",
    "weights",
]

#: What a cell does in one step: from its part of a sequence and its states to the states behind the step.
Step = Callable[[Node, tuple[Node, ...]], tuple[Node, ...]]

_RETURNS = ("sequence", "last", "both")
_PLACES = "kpq"


@dataclass(frozen=True)
class Options:
    """Options of every recurrent layer.

    Parameters
    ----------
    state : Node, tuple, "parameter" or None
        Before the first step. None: zeros. ``"parameter"``: learned, the same for all examples, ``name.initial_h``
        (H,). A node h (N, H), or a pair (h, c) for cells with a memory, followed by h of 1 to k - 1 steps before with
        ``skip_time=k``; with several layers or directions a tuple with one of these for each, in order: 0 forward,
        0 backward, 1 forward and so on. Single ones may be None.
    lengths : Node, shape (N,), whole numbers, optional
        Steps of each example, from 0 to T. Beyond them its state stays and its outputs are 0; a backward direction
        starts at the last step of the example. Pad with numbers: a NaN would reach gradients as 0 times NaN.
    backward : bool, default False
        Start at the last step. Outputs stay in the order of the inputs.
    bidirectional : bool, default False
        Two layers, one in each direction, with their outputs side by side: on the last axis, or that of the channels.
        Parameters are named ``name.forward.weight_x``, ``name.backward.weight_x`` and so on.
    layers : int, default 1
        How many are stacked; with more than one, parameters are named ``name.0.weight_x`` and so on.
    dropout : float, default 0
        Rate for the inputs of every layer but the first.
    variational : bool, default False
        Whether the dropout drops the same elements at every step (Gal, Ghahramani, NIPS 2016).
    layer_norm : bool, default False
        Whether the inputs of every layer but the first are normalised, before the dropout: ``name.1.norm.gain``.
    skip : bool, default False
        Whether the output of the layer before, as it is without dropout and norm, is added to the output of every
        layer but the first.
    skip_time : int, default 0
        With k, at least 2: each cell sees the sum of its last h and that of k steps ago, which is 0 before the initial
        state unless it is given, and on whose way a gradient passes T/k steps instead of T.
    checkpoint : int, optional
        Keep the states of every so many steps only, for less memory and more time: see `graphc.unroll`.
    returns : {"sequence", "last", "both"}, default "sequence"
        The outputs of all steps; or h of the last layer behind its last step, directions side by side, without what
        ``skip`` adds; or ``(outputs, state)``, the state in the structure that the option ``state`` takes.
    bias : bool, default True
        Whether a bias is added.
    initial, initial_h : initialiser or array, optional
        Of weight_x (by default `xavier`) and of weight_h (by default `orthogonal`): an initialiser draws each gate on
        its own.
    """

    state: Any = None
    lengths: Node | None = None
    backward: bool = False
    bidirectional: bool = False
    layers: int = 1
    dropout: float = 0.0
    variational: bool = False
    layer_norm: bool = False
    skip: bool = False
    skip_time: int = 0
    checkpoint: int | None = None
    returns: str = "sequence"
    bias: bool = True
    initial: Initialiser | Any = None
    initial_h: Initialiser | Any = None

    @classmethod
    def of(cls, layer: str, name: str, given: Mapping[str, Any]) -> Options:
        """Check the options that a layer was given.

        Raises
        ------
        ShapeError
            If there is no such option, or it has no such value.
        """
        known = [f.name for f in fields(cls)]
        for option in given:
            if option not in known:
                near = did_you_mean(option, known)
                raise refusal(layer, name, f"there is no option {option!r}{near}; there are: {', '.join(known)}")
        made = cls(**given)
        for f in fields(cls):
            value = getattr(made, f.name)
            if f.type == "bool" and not isinstance(value, bool):
                raise refusal(layer, name, f"{f.name}={value!r} must be True or False")
            if f.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
                raise refusal(layer, name, f"{f.name}={value!r} must be a whole number")
        if made.returns not in _RETURNS:
            wanted = ", ".join(map(repr, _RETURNS))
            raise refusal(layer, name, f"returns={made.returns!r} must be one of {wanted}")
        if made.layers < 1:
            raise refusal(layer, name, f"layers={made.layers} must be at least 1")
        if made.skip_time < 0 or made.skip_time == 1:
            reason = "at least 2, or 0 for none: the state of 1 step ago is what a cell sees anyway"
            raise refusal(layer, name, f"skip_time={made.skip_time} must be {reason}")
        if made.backward and made.bidirectional:
            raise refusal(layer, name, "backward=True is one direction, bidirectional=True are both: give one of them")
        if made.layers == 1:
            for option in ("dropout", "variational", "layer_norm", "skip"):
                if getattr(made, option):
                    value = getattr(made, option)
                    raise refusal(layer, name, f"{option}={value!r} acts between layers, but layers=1")
        if made.variational and not made.dropout:
            raise refusal(layer, name, "variational=True says how elements are dropped, but dropout=0")
        return made


@dataclass(frozen=True)
class Kind:
    """What is special to one recurrent layer.

    Parameters
    ----------
    layer, name : str
        Name of the function, and of this use of it.
    states : tuple of str
        Names of its states; the first is its output.
    shape : Shape
        Shape of a state of one example.
    declare : callable
        ``declare(prefix, x, first)`` declares the parameters of one direction of one layer that reads the sequence x,
        and returns what its cell reads instead of x, and its step; ``first`` says whether x is what the user gave.
    """

    layer: str
    name: str
    states: tuple[str, ...]
    shape: Shape
    declare: Callable[[str, Node, bool], tuple[Node, Step]]


#: In place of a state: declare one that is kept between compiled steps.
CARRIED = object()


# ---- small gates -----------------------------------------------------------------------------------------


def _like_shape(shape: Shape, channels: str) -> tuple[str, dict[str, str]]:
    """Index of a step of a sequence with other channels, and the extents of its axes."""
    places = _PLACES[: max(len(shape) - 2, 1)]
    extents = {"n": "size(xs,1)", "k": channels} | {a: f"size(xs,{d})" for d, a in enumerate(places[1:], 3)}
    return ",".join(("n", *places)), extents


def _constant(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    index, extents = _like_shape(shapes[0], str(attributes["channels"]))
    return Definition(f"y[{index}] = value", extents=extents)


def _rows(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    index, extents = _like_shape(shapes[0], "size(row,0)")
    return Definition(f"y[{index}] = row[k]", extents=extents)


def _kept(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    index = ",".join(("n", *_PLACES[: len(shapes[1]) - 1]))
    return Definition(f"y[{index}] = new[{index}] if mask[n] else old[{index}]")


def _shown(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    index = ",".join(("n", *_PLACES[: len(shapes[1]) - 1]))
    return Definition(f"y[{index}] = h[{index}] if mask[n] else 0")


def _mask(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    # the length goes through a table of the lengths that there are, so that the check of indices refuses others
    steps = "size(xs,0)" if len(shapes) == 2 else str(attributes["steps"])
    lines = "steps[s] = s\nchecked[n] = steps[lengths[n]]\nmask[t,n] = 1 if t < checked[n] else 0"
    return Definition(lines, extents={"s": f"{steps} + 1", "t": steps}, integers=frozenset({"lengths"}))


# sizes of a state come from the sequence, whose values are not read: a number of examples known at run time only
_CONSTANT = Gate(
    "constant state", _constant, ("xs",), attributes={"channels": 1, "value": 0.0}, differentiable=False,
    source="Definition",
)  # fmt: skip
_ROWS = Gate("initial state", _rows, ("xs", "row"), source="Definition")
_KEPT = Gate("kept state", _kept, ("mask", "new", "old"), symbol="keep", source="Definition")
_SHOWN = Gate("masked output", _shown, ("mask", "h"), symbol="mask", source="Definition")
_MASK = Gate(
    "step mask", _mask, ("lengths", "xs"), optional=1, attributes={"steps": 1}, differentiable=False,
    source="Definition",
)  # fmt: skip


def step_mask(lengths: Node, steps: int | Node) -> Node:
    """Say which steps an example has: 1 where ``t < lengths[n]``, else 0.

    Parameters
    ----------
    lengths : Node, shape (N,), whole numbers
        Steps of each example, from 0 to T.
    steps : int, or Node (T, ...)
        T, or a sequence whose first extent it is.

    Returns
    -------
    Node, shape (T, N)

    Raises
    ------
    ShapeError
        If the lengths are not one whole number for each example.
    DataError
        Of the compiled step, if a length is not from 0 to T.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> lengths = graphc.input("lengths", ("N",), dtype="int32")
    >>> mask = graphc.layers.step_mask(lengths, 3)
    >>> print(graphc.compile([mask])(lengths=[3, 1])[0])
    [[1. 1.]
     [1. 0.]
     [1. 0.]]
    """
    if len(lengths.shape) != 1:
        raise ShapeError(
            f"lengths are one whole number for each example, shape (N,); found {shape_text(lengths.shape)}: "
            f"{lengths.label!r} declared at {lengths.site}\n  called at {call_site()}",
            node=lengths,
            shapes=(lengths.shape,),
            site=call_site(),
        )
    return _MASK(lengths, steps) if isinstance(steps, Node) else _MASK(lengths, steps=steps)


def each_gate(initial: Initialiser | Any, gates: int) -> Any:
    """Let an initialiser see the rows of each gate on their own; an array stays as it is."""
    if not callable(initial):
        return initial

    def draw(shape: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        rows = (shape[0] // gates, *shape[1:])
        return numpy.concatenate([numpy.asarray(initial(rows, generator)) for _ in range(gates)])

    return draw


# ---- sequences and parameters ------------------------------------------------------------------------------


def check_sequence(layer: str, name: str, xs: Node, units: int, vocabulary: int | None) -> None:
    """Refuse what is neither a sequence of rows nor one of tokens with a vocabulary.

    Raises
    ------
    ShapeError
    """
    for what, value in (("units", units), ("vocabulary", vocabulary)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise refusal(layer, name, f"{what}={value!r} must be a whole number of at least 1")
    if vocabulary is not None and xs.is_float:
        reason = f"vocabulary={vocabulary} is for tokens, whole numbers (T, N), but {xs.label!r} holds floats"
        raise refusal(layer, name, f"{reason}: declared at {xs.site}")
    if vocabulary is not None:
        numbers(layer, name, xs, (2,), "tokens (T, N), steps first", ())
        return
    if not xs.is_float:
        reason = f"{xs.label!r} {shape_text(xs.shape)} holds whole numbers: declared at {xs.site}"
        raise refusal(layer, name, f"{reason}\n  Try: vocabulary=V, where the tokens are 0 to V - 1")
    repair = "graphc.transpose(...) first, if the batch comes before the steps; an axis of 1 where there is no batch"
    numbers(layer, name, xs, (3,), "sequences (T, N, features), steps first", (2,), repair)


def weights(
    prefix: str, x: Node, gates: int, units: int, vocabulary: int | None, options: Options
) -> tuple[Node, Node | None, Node]:
    """Declare the weights of one direction of one layer.

    Returns
    -------
    x, weight_x, weight_h
        What the cell reads, and its weights. Tokens are looked up in weight_x here, so that the cell has None.
    """
    features = x.shape[2] if vocabulary is None else vocabulary
    first = each_gate(xavier() if options.initial is None else options.initial, gates)
    second = each_gate(orthogonal() if options.initial_h is None else options.initial_h, gates)
    weight_x = parameter(f"{prefix}.weight_x", (gates * units, features), initial=first)
    weight_h = parameter(f"{prefix}.weight_h", (gates * units, units), initial=second)
    if vocabulary is not None:
        # rows of the transpose: the copy is small beside what is looked up, and columns would be read number by number
        return registry.function("embedding")(registry.call("transpose", weight_x), x), None, weight_h
    return x, weight_x, weight_h


def forget_bias(prefix: str, gates: int, units: int, position: int, options: Options) -> Node | None:
    """Declare the bias of a cell with a memory: 1 for the forget gate, so that it keeps its memory at first."""
    initial = numpy.zeros((gates, units))
    initial[position] = 1.0
    return parameter(f"{prefix}.bias", (gates * units,), initial=initial.reshape(-1)) if options.bias else None


# ---- stacking ----------------------------------------------------------------------------------------------


def layered(kind: Kind, xs: Node, options: Options) -> Any:
    """Apply a recurrent layer, in all its layers and directions.

    Returns
    -------
    Node, or (Node, state)
        What the option ``returns`` asks for.

    Raises
    ------
    ShapeError
        If the lengths or a state do not fit.
    """
    mask = _mask_of(kind, xs, options)
    ways = ("forward", "backward") if options.bidirectional else ("",)
    if options.skip_time:
        kind = replace(kind, states=(*kind.states, *(f"h_{k}" for k in range(1, options.skip_time))))
    given = _states_given(kind, options.state, options.layers * len(ways))
    after: list[tuple[Node, ...]] = []
    shown: list[Node] = []
    x = xs
    for number in range(options.layers):
        prefix = kind.name if options.layers == 1 else f"{kind.name}.{number}"
        read = _between(kind, x, prefix, options) if number else x
        outputs, shown = [], []
        for way in ways:
            own = f"{prefix}.{way}" if way else prefix
            before = _initial(kind, xs, given[len(after)], own)
            source = kind.declare(own, read, number == 0)
            steps, last = _direction(own, source, before, mask, options, options.backward or way == "backward")
            if given[len(after)] is CARRIED:
                for kept, new in zip(before, last, strict=True):
                    update(kept, new)
            after.append(last)
            outputs.append(steps)
            shown.append(last[0])
        joined = _side_by_side(kind, outputs)
        x = registry.call("add", joined, x) if options.skip and number else joined
    if options.returns == "last":
        return _side_by_side(kind, shown).named(kind.name)
    if options.returns == "sequence":
        return x.named(kind.name)
    ends = [last if len(kind.states) > 1 else last[0] for last in after]
    return x.named(kind.name), ends[0] if len(ends) == 1 else tuple(ends)


def _mask_of(kind: Kind, xs: Node, options: Options) -> Node | None:
    lengths = options.lengths
    if lengths is None:
        return None
    if not isinstance(lengths, Node) or lengths.is_float or lengths.shape != (xs.shape[1],):
        found = (
            f"{lengths.label!r} {shape_text(lengths.shape)} {lengths.dtype}" if isinstance(lengths, Node) else lengths
        )
        reason = f"lengths are one whole number for each example, shape {shape_text((xs.shape[1],))}; found {found}"
        raise refusal(kind.layer, kind.name, reason)
    return step_mask(lengths, xs)


def _side_by_side(kind: Kind, nodes: list[Node]) -> Node:
    """Directions in one tensor, along the units or channels."""
    return nodes[0] if len(nodes) == 1 else registry.function("concat")(nodes, axis=-len(kind.shape))


def _between(kind: Kind, x: Node, prefix: str, options: Options) -> Node:
    """What a layer reads of the layer before."""
    if options.layer_norm:
        x = layer_norm(x, name=f"{prefix}.norm", axes=len(kind.shape))
    if not options.dropout:
        return x
    if not options.variational:
        return dropout(x, options.dropout, name=f"{prefix}.dropout")
    kept = _CONSTANT(x, channels=x.shape[2], value=1.0)
    return registry.call("mul", x, dropout(kept, options.dropout, name=f"{prefix}.dropout"))


def _direction(
    name: str,
    source: tuple[Node, Step],
    before: tuple[Node, ...],
    mask: Node | None,
    options: Options,
    backward: bool,
) -> tuple[Node, tuple[Node, ...]]:
    """Apply one direction of one layer: its outputs and the states behind its last step."""
    read, cell = source

    def step(inputs: tuple[Node, ...], states: tuple[Node, ...]) -> tuple[Node, tuple[Node, ...]]:
        count = len(states) - max(options.skip_time - 1, 0)
        own, earlier = states[:count], states[count:]
        seen = registry.call("add", own[0], earlier[-1]) if earlier else own[0]
        new = cell(inputs[0], (seen, *own[1:]))
        if earlier:
            new = (*new, own[0], *earlier[:-1])
        if len(inputs) == 1:
            return new[0], new
        kept = tuple(_KEPT(inputs[1], node, old) for node, old in zip(new, states, strict=True))
        return _SHOWN(inputs[1], new[0]), kept

    inputs = (read,) if mask is None else (read, mask)
    return unroll(step, inputs, before, backward=backward, checkpoint=options.checkpoint, name=name)


# ---- states ------------------------------------------------------------------------------------------------


def _states_given(kind: Kind, given: Any, count: int) -> tuple[Any, ...]:
    """What is given for each layer and direction."""
    if given is None or given is CARRIED or isinstance(given, str):
        return (given,) * count
    if count == 1:
        return (given,)
    if not isinstance(given, tuple | list) or len(given) != count:
        found = f"{len(given)} items" if isinstance(given, tuple | list) else type(given).__name__
        reason = f"the state is a tuple with {count} items, one for each layer and direction in order; found {found}"
        raise refusal(kind.layer, kind.name, reason)
    return tuple(given)


def _initial(kind: Kind, xs: Node, given: Any, prefix: str) -> tuple[Node, ...]:
    """States before the first step of one direction of one layer."""
    expected = (xs.shape[1], *kind.shape)
    channels = kind.shape[0]
    if given is None:
        return tuple(_CONSTANT(xs, channels=channels).named(f"{prefix}.{letter}") for letter in kind.states)
    if given is CARRIED:
        if not all(isinstance(extent, int) for extent in expected):
            reason = f"a state that is kept between steps needs numbers for its extents, found {shape_text(expected)}"
            raise refusal(kind.layer, kind.name, f"{reason}: declare the inputs with a number of examples")
        return tuple(state(f"{prefix}.{letter}", expected) for letter in kind.states)
    if isinstance(given, str):
        if given != "parameter":
            reason = f"state={given!r} must be nodes, 'parameter' for a learned one, or None for zeros"
            raise refusal(kind.layer, kind.name, reason)
        return tuple(_ROWS(xs, parameter(f"{prefix}.initial_{letter}", (channels,))) for letter in kind.states)
    nodes = tuple(given) if isinstance(given, tuple | list) else (given,)
    names = ", ".join(kind.states)
    if len(nodes) != len(kind.states) or not all(isinstance(node, Node) for node in nodes):
        found = ", ".join(node.label if isinstance(node, Node) else type(node).__name__ for node in nodes) or "nothing"
        wanted = f"the tuple ({names})" if len(kind.states) > 1 else "a node"
        raise refusal(kind.layer, kind.name, f"the state of {prefix!r} is {wanted}, found {found}")
    for letter, node in zip(kind.states, nodes, strict=True):
        if node.shape != expected or not node.is_float:
            raise refusal(
                kind.layer,
                kind.name,
                f"the initial state {letter} of {prefix!r} needs {shape_text(expected)} floats, found "
                f"{shape_text(node.shape)} {node.dtype}: {node.label!r} declared at {node.site}",
            )
    return nodes


def carried(layer: Callable[..., Any], xs: Node, *arguments: Any, name: str, **options: Any) -> Any:
    """Apply a recurrent layer that goes on where the last compiled step ended: truncated backpropagation through time.

    A long text is cut into chunks of T steps. Each training step begins with the state behind the chunk before, as a
    number: gradients end at the border, values do not.

    Parameters
    ----------
    layer : callable
        `rnn`, `lstm`, `gru` or `conv_lstm`.
    xs : Node, shape (T, N, ...)
        One chunk for each of N texts, as the layer takes it; N is a number.
    *arguments
        Of the layer: ``units``, or ``channels`` and ``size``.
    name : str
        States are named ``name.h`` (N, H), ``name.c`` and so on, where the parameters are; 0 at first. They are saved
        in checkpoints.
    **options
        Of the layer, without ``state`` and directions.

    Returns
    -------
    What the layer returns

    Raises
    ------
    ShapeError
        If a state is given, the layer runs backward, or N is not a number.

    Notes
    -----
    As every state, these change in steps compiled with ``training=True`` only. To begin a new text, set them to 0:
    ``step.states["name.h"][...] = 0``.

    Source
    ------
    Williams, Peng, Neural Computation 2 (1990), section 3; Sutskever, PhD thesis, Toronto (2013), section 2.8.6.

    Examples
    --------
    >>> import graphc
    >>> words = graphc.input("words", (20, 32, 64))
    >>> memory = graphc.layers.carried(graphc.layers.lstm, words, 128, name="memory")
    >>> memory.shape
    (20, 32, 128)
    """
    for option in ("state", "backward", "bidirectional"):
        if options.get(option) not in (None, False):
            raise refusal("carried", name, f"the state is that of the step before, so that {option}= cannot be given")
    return layer(xs, *arguments, name=name, **{**options, "state": CARRIED})
