"""Optimisers: formulas over parameter, gradient, state and learning rate.

An optimiser declares, for each parameter, the node it becomes after a step. These nodes are planned and
compiled like every other gate; there is no update loop in Python. The learning rate is an input, so
that changing it needs no new compilation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from graphc.errors import GraphcError, did_you_mean
from graphc.graph import Definition, Gate, Node, Shape, input, registry, state
from graphc.graph.loss import LETTERS

__all__ = ["SGD", "Adam", "Optimizer", "optimizer_from"]

_LEARNING_RATE = "learning rate"


def _number(name: str, value: Any, low: float, high: float, open_low: bool = False) -> float:
    """Return a hyper-parameter within ``[low, high)``, or refuse it."""
    inside = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (low < value if open_low else low <= value)
        and value < high
    )
    if not inside:
        bound = f"{'above' if open_low else 'at least'} {low:g}"
        bound += f" and below {high:g}" if math.isfinite(high) else ""
        raise GraphcError(f"{name} must be a number {bound}, found {value!r}")
    return float(value)


def _squares(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    axes = ",".join(LETTERS[: len(shapes[0])])
    return Definition(f"y = sum((gradient[{axes}] / largest)**2, {axes})" if axes else "y = (gradient / largest)**2")


_CLIPPED = Gate(
    "clipped by value",
    "y = min(max(gradient, -limit), limit)",
    ("gradient",),
    attributes={"limit": 1.0},
    source="Mikolov, Statistical Language Models Based on Neural Networks (2012), section 3.2.2",
)
# a sum of squares overflows beyond 1e19 in float32 and vanishes below 1e-23: they are squared relative to the largest.
# Its floor keeps the quotient of a gradient that is 0 throughout a number
_LARGEST = Gate("largest or more", "y = max(largest, 1e-30)", ("largest",), source="Definition")
_SQUARES = Gate("relative squares", _squares, ("gradient", "largest"), source="Blue, ACM TOMS 4 (1978)")
_ROOT = Gate("relative norm", "y = sqrt(squares)", ("squares",), source="Blue, ACM TOMS 4 (1978)")
_NORM = Gate("gradient norm", "y = largest * root", ("largest", "root"), source="Definition")
# min(1, limit/norm) without the norm, which float32 may not hold; exactly 1 below the limit
_SHRINKING = Gate(
    "shrinking",
    "room = min(limit / largest, 1e30)\ny = room / max(root, room)",
    ("largest", "root"),
    attributes={"limit": 1.0},
    source="Pascanu, Mikolov, Bengio, ICML (2013), Algorithm 1",
)
_SHRUNK = Gate("clipped by norm", "y = gradient * scale", ("gradient", "scale"), source="Definition")

#: State of the optimiser that holds the norm of the last step's gradients.
GRADIENT_NORM = "gradient_norm"


class Optimizer:
    """What optimisers share: the learning rate, clipping, and that they can be written down and read back.

    Parameters
    ----------
    learning_rate : float
        Step length, at least 0.
    clip_value : float, optional
        Limit of every element of the gradients, above 0: smaller and larger ones become ``-clip_value`` and
        ``clip_value``.
    clip_norm : float, optional
        Limit of the norm of all gradients together, at least 1e-30: they are multiplied by
        ``min(1, clip_norm/norm)``, so that their direction stays.

    Attributes
    ----------
    learning_rate : float
        Read at each step: a new value acts at the next one.
    learning_rate_node : Node
        The scalar input through which compiled steps receive it.

    Raises
    ------
    GraphcError
        If a hyper-parameter is out of its range, or both kinds of clipping are asked for.

    Notes
    -----
    State: with ``clip_norm`` one scalar, ``gradient_norm``: the norm before clipping at the last step. It is right
    wherever float32 holds it; in float64, gradients below 1e-180 count as 0 in it.

    Source
    ------
    Pascanu, Mikolov, Bengio, ICML (2013), Algorithm 1; by value: Mikolov (2012), section 3.2.2.
    """

    #: Names of the hyper-parameters, as the constructor takes them.
    hyperparameters: tuple[str, ...] = ("learning_rate", "clip_value", "clip_norm")

    learning_rate: float

    def __init__(
        self, learning_rate: float, *, clip_value: float | None = None, clip_norm: float | None = None
    ) -> None:
        self.learning_rate = learning_rate
        self.learning_rate_node: Node = input(_LEARNING_RATE)
        self.clip_value = (
            None if clip_value is None else _number("clip_value", clip_value, 0.0, math.inf, open_low=True)
        )
        self.clip_norm = None if clip_norm is None else _number("clip_norm", clip_norm, 1e-30, math.inf)
        if self.clip_value is not None and self.clip_norm is not None:
            raise GraphcError(
                f"found clip_value={self.clip_value:g} and clip_norm={self.clip_norm:g}; gradients are clipped in one "
                "way: by value limits each element, by norm shortens all together and keeps their direction"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate":  # it may be set at any time, so it is judged at any time
            value = _number(name, value, 0.0, math.inf)
        super().__setattr__(name, value)

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step.

        Parameters
        ----------
        parameters : mapping
            Name -> (parameter, gradient of the loss with respect to it).

        Returns
        -------
        list of (Node, Node)
            Each parameter or state with the node that it becomes; all read the values before the step.
        """
        raise NotImplementedError

    def clipped(
        self, parameters: Mapping[str, tuple[Node, Node]]
    ) -> tuple[dict[str, tuple[Node, Node]], list[tuple[Node, Node]]]:
        """Return the parameters with clipped gradients, and the update that keeps the norm where it is computed.

        Parameters
        ----------
        parameters : mapping
            Name -> (parameter, gradient), as in `updates`.
        """
        if self.clip_value is not None:
            limit = self.clip_value
            return {k: (weight, _CLIPPED(gradient, limit=limit)) for k, (weight, gradient) in parameters.items()}, []
        if self.clip_norm is None or not parameters:
            return dict(parameters), []
        gradients = [gradient for _, gradient in parameters.values()]
        sizes = [registry.call("abs", gradient) for gradient in gradients]
        tops = [registry.function("amax")(size) if size.shape else size for size in sizes]
        largest = _LARGEST(functools.reduce(lambda a, b: registry.call("max", a, b), tops))
        squares = [_SQUARES(gradient, largest) for gradient in gradients]
        root = _ROOT(functools.reduce(lambda a, b: registry.call("add", a, b), squares))
        scale = _SHRINKING(largest, root, limit=self.clip_norm)
        norm = state(GRADIENT_NORM, (), dtype=gradients[0].dtype)
        shrunk = {k: (weight, _SHRUNK(gradient, scale)) for k, (weight, gradient) in parameters.items()}
        return shrunk, [(norm, _NORM(largest, root))]

    def _given(self) -> dict[str, Any]:
        """Hyper-parameters by name, without those that are left out."""
        values = {name: getattr(self, name) for name in self.hyperparameters}
        return {name: value for name, value in values.items() if value is not None}

    def settings(self) -> dict[str, Any]:
        """Return class name and hyper-parameters, as checkpoints store them."""
        return {"class": type(self).__name__} | self._given()

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self._given().items())
        return f"{type(self).__name__}({inner})"


_DECAYED = Gate(
    "weight decay",
    "y = gradient + decay * weight",
    ("gradient", "weight"),
    attributes={"decay": 0.0},
    source="Krogh, Hertz, NIPS 4 (1991), eq. 2",
)
_DESCENT = Gate(
    "descent",
    "y = weight - rate * gradient",
    ("weight", "gradient", "rate"),
    source="Cauchy, Comptes rendus 25 (1847)",
)
_VELOCITY = Gate(
    "velocity",
    "y = momentum * velocity + gradient",
    ("velocity", "gradient"),
    attributes={"momentum": 0.9},
    source="Polyak, USSR Comp. Math. 4 (1964), eq. 9",
)
_NESTEROV = Gate(
    "nesterov descent",
    "y = weight - rate * (gradient + momentum * velocity)",
    ("weight", "gradient", "velocity", "rate"),
    attributes={"momentum": 0.9},
    source="Sutskever et al., ICML (2013), eq. 3 and 4",
)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    ``v <- momentum * v + g`` and then ``w <- w - rate * v``; without momentum ``w <- w - rate * g``.

    Parameters
    ----------
    learning_rate : float
        Step length, at least 0.
    momentum : float, default 0
        Share of the velocity that is kept, at least 0 and below 1.
    nesterov : bool, default False
        Step along the gradient expected at the end of the step: ``w <- w - rate * (g + momentum * v)``
        with the new velocity.
    weight_decay : float, default 0
        ``weight_decay * w`` is added to the gradient: the derivative of ``weight_decay/2 * sum(w**2)``. It is added
        behind the clipping.
    clip_value, clip_norm : float, optional
        Limit of each element of the gradients, or of the norm of all together; see `Optimizer`.

    Raises
    ------
    GraphcError
        If a hyper-parameter is out of its range, ``nesterov`` is asked for without momentum, or both kinds of
        clipping are asked for.

    Notes
    -----
    State: one array a parameter, ``name/velocity``, none without momentum; with ``clip_norm`` one scalar,
    ``gradient_norm``.

    Source
    ------
    Polyak, USSR Comp. Math. 4 (1964), eq. 9; Sutskever et al., ICML (2013), eq. 1 to 4; clipping: Pascanu, Mikolov,
    Bengio, ICML (2013), Algorithm 1.

    Examples
    --------
    >>> import graphc
    >>> graphc.SGD(0.05, momentum=0.9)
    SGD(learning_rate=0.05, momentum=0.9, nesterov=False, weight_decay=0.0)
    >>> w = graphc.parameter("w", (2,), initial=[3.0, 4.0])
    >>> step = graphc.compile([graphc.sum(w * w)], optimizer=graphc.SGD(1.0, clip_norm=5.0))
    >>> _ = step()
    >>> step.gradient_norm, step.parameters["w"].round(4).tolist()
    (10.0, [0.0, 0.0])
    """

    hyperparameters = ("learning_rate", "momentum", "nesterov", "weight_decay", "clip_value", "clip_norm")

    def __init__(
        self,
        learning_rate: float,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_value=clip_value, clip_norm=clip_norm)
        self.momentum = _number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        self.weight_decay = _number("weight_decay", weight_decay, 0.0, math.inf)
        if self.nesterov and not self.momentum:
            raise GraphcError("nesterov=True needs a momentum above 0, for example momentum=0.9")

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step; see `Optimizer.updates`."""
        rate = self.learning_rate_node
        parameters, result = self.clipped(parameters)
        for name, (weight, gradient) in parameters.items():
            slope = gradient
            if self.weight_decay:
                slope = _DECAYED(gradient, weight, decay=self.weight_decay)
            if not self.momentum:
                result.append((weight, _DESCENT(weight, slope, rate)))
                continue
            velocity = state(f"{name}/velocity", weight.shape, dtype=weight.dtype)
            following = _VELOCITY(velocity, slope, momentum=self.momentum)
            if self.nesterov:
                stepped = _NESTEROV(weight, slope, following, rate, momentum=self.momentum)
            else:
                stepped = _DESCENT(weight, following, rate)
            result += [(velocity, following), (weight, stepped)]
        return result


# rest = 1 - beta comes rounded once: 1 - 0.999 in float32 would lose four digits
_MEAN = Gate(
    "first moment",
    "y = beta * mean + rest * gradient",
    ("mean", "gradient"),
    attributes={"beta": 0.9, "rest": 0.1},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)
_SQUARE = Gate(
    "second moment",
    "y = beta * square + rest * gradient * gradient",
    ("square", "gradient"),
    attributes={"beta": 0.999, "rest": 0.001},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)
_COUNT = Gate("step count", "y = step + 1", ("step",), source="Definition")
# 1 - beta**step without cancellation, from the logarithm that Python computes
_CORRECTION = Gate(
    "bias correction",
    "y = -expm1(step * log_beta)",
    ("step",),
    attributes={"log_beta": -0.1},
    source="Kingma, Ba, ICLR (2015), section 3",
)
_ADAM = Gate(
    "adam step",
    "y = weight - rate * (mean / mean_correction) / (sqrt(square / square_correction) + epsilon)",
    ("weight", "mean", "square", "mean_correction", "square_correction", "rate"),
    attributes={"epsilon": 1e-8},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square, corrected for their start at 0.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step length, at least 0.
    beta1, beta2 : float, default 0.9 and 0.999
        Share of the running means that is kept, above 0 and below 1.
    epsilon : float, default 1e-8
        Added to the root of the second moment, above 0.
    clip_value, clip_norm : float, optional
        Limit of each element of the gradients, or of the norm of all together; see `Optimizer`.

    Raises
    ------
    GraphcError
        If a hyper-parameter is out of its range, or both kinds of clipping are asked for.

    Notes
    -----
    State: two arrays a parameter, ``name/mean`` and ``name/square``, and one ``step`` count; with ``clip_norm`` one
    scalar more, ``gradient_norm``.

    Source
    ------
    Kingma, Ba, ICLR (2015), Algorithm 1; clipping: Pascanu, Mikolov, Bengio, ICML (2013), Algorithm 1.

    Examples
    --------
    >>> import graphc
    >>> graphc.Adam()
    Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """

    hyperparameters = ("learning_rate", "beta1", "beta2", "epsilon", "clip_value", "clip_norm")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_value=clip_value, clip_norm=clip_norm)
        self.beta1 = _number("beta1", beta1, 0.0, 1.0, open_low=True)
        self.beta2 = _number("beta2", beta2, 0.0, 1.0, open_low=True)
        self.epsilon = _number("epsilon", epsilon, 0.0, math.inf, open_low=True)

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step; see `Optimizer.updates`."""
        if not parameters:
            return []
        dtype = next(iter(parameters.values()))[0].dtype
        parameters, result = self.clipped(parameters)
        step = state("step", (), dtype=dtype)
        count = _COUNT(step)
        corrections = [_CORRECTION(count, log_beta=math.log(b)) for b in (self.beta1, self.beta2)]
        result.append((step, count))
        for name, (weight, gradient) in parameters.items():
            mean = state(f"{name}/mean", weight.shape, dtype=weight.dtype)
            square = state(f"{name}/square", weight.shape, dtype=weight.dtype)
            new_mean = _MEAN(mean, gradient, beta=self.beta1, rest=1.0 - self.beta1)
            new_square = _SQUARE(square, gradient, beta=self.beta2, rest=1.0 - self.beta2)
            stepped = _ADAM(
                weight,
                new_mean,
                new_square,
                *corrections,
                self.learning_rate_node,
                epsilon=self.epsilon,
            )
            result += [(mean, new_mean), (square, new_square), (weight, stepped)]
        return result


_KNOWN: dict[str, type[Optimizer]] = {"SGD": SGD, "Adam": Adam}


def optimizer_from(settings: Mapping[str, Any]) -> Optimizer:
    """Build an optimiser from its `Optimizer.settings`.

    Raises
    ------
    GraphcError
        If the class or a hyper-parameter is unknown.
    """
    given = dict(settings)
    name = given.pop("class", None)
    kind = _KNOWN.get(name) if isinstance(name, str) else None
    if kind is None:
        raise GraphcError(f"unknown optimiser {name!r}{did_you_mean(str(name), _KNOWN)}; known: {', '.join(_KNOWN)}")
    unknown = [key for key in given if key not in kind.hyperparameters]
    if unknown:
        raise GraphcError(f"{name} has no hyper-parameter {unknown[0]!r}; it has {', '.join(kind.hyperparameters)}")
    return kind(**given)
