"""`check_gradients`: numeric checks of gradients, with the list of precautions run for the user.

Source of the list: Karpathy, CS231n (2016), notes on neural networks 3, "gradient checks".
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from graphc.checking.conventions import Conventions, as_conventions
from graphc.checking.numeric.by_hand import ByHand
from graphc.checking.numeric.graphs import GraphPoint, Tolerance
from graphc.checking.numeric.judge import Judge
from graphc.checking.numeric.leaves import check_root, checked_value, leaves_of, terms_of, values_of
from graphc.checking.numeric.opaque import check_function
from graphc.checking.numeric.report import GradientReport
from graphc.checking.numeric.subjects import CompiledStep, PythonFunction, Subject, is_step
from graphc.errors import CheckError, DataError, did_you_mean
from graphc.graph.node import Node, topological
from graphc.graph.reference import bind_sizes

__all__ = ["check_gradients"]

Array = numpy.ndarray


def check_gradients(
    subject: Any,
    data: Any = None,
    *,
    analytic: Any = None,
    wrt: Node | str | Iterable[Node | str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    training: bool = True,
    samples: int = 4,
    tolerance: float | None = None,
    conventions: Mapping[str, Any] | Conventions | None = None,
    seed: int = 0,
) -> GradientReport:
    """Check gradients by central differences.

    Steps are swept for every sample, and the order of convergence is reported. Samples come from every parameter: a few
    elements, and a random direction through all of them. Kinks do not disturb: of a graph the winners of max, relu
    and pooling are held as at the point, and what a tie allows is accepted; of other functions the slopes on either
    side are measured. Random numbers are the same at every call. Where the loss of a graph is a sum, every term is
    checked alone too. Parameters, states and generators are left as they were.

    Parameters
    ----------
    subject : Node, compiled step, function, or pair of functions
        A scalar node: its gradients by the float64 reference. A compiled step, as
        ``graphc.compile([loss], gradients=True)`` makes it: its gradients are compared with the reference as well as
        with differences. A function ``f(**data)`` or ``f(*data)`` that returns ``(loss, gradients)``, or a pair
        ``(forward, backward)``: ``backward`` takes what ``forward`` takes, or, where ``forward`` returns
        ``(output, cache)``, the upstream gradient and the cache.
    data : mapping (or sequence, for a function)
        Arrays by name: inputs of the graph, and its parameters where they are not given otherwise.
    analytic : function, optional
        With a node: a function that computes its gradients by hand. It is called with those leaves of the graph
        that it asks for, by name (``conv1_weight`` stands for ``conv1.weight``), and returns gradients by name or in
        the order of its arguments, or ``(loss, gradients)``.
    wrt : nodes or names, optional
        What to check; by default every float input and parameter, or everything that has a gradient.
    parameters : mapping, optional
        Arrays of parameters and states by name. Parameters of a node that are not given are drawn by their
        initialisers.
    training : bool, default True
        What ``graphc.is_training()`` says.
    samples : int, default 4
        Elements of every parameter: the one that deviates most, the largest gradient, and random ones.
    tolerance : float, optional
        Relative error allowed beside rounding; by default 1e-6 in float64, and for a compiled step what its dtype
        explains.
    conventions : mapping, optional
        What is accepted of gradients handed in where a graph has a tie: ``{"relu_at_zero": 0}`` or 1,
        ``{"ties": "first"}``; by default whatever lies between the slopes that ties allow.
    seed : int, default 0
        Of the samples, of initialisers, and of the random numbers that a Python function draws.

    Returns
    -------
    GradientReport
        By parameter; ``report.ok``, ``print(report)``, ``report.json()``, ``report.raise_if_wrong()``.

    Raises
    ------
    CheckError
        If there is no gradient to check, the loss is not a finite scalar, or a function draws other random numbers
        at every call.
    DataError
        If data is missing, unknown, of the wrong shape or dtype, or not finite.

    Notes
    -----
    One parameter costs about ``6*(samples + 1)`` evaluations of what lies downstream of it.

    Source
    ------
    Karpathy, CS231n (2016), "gradient checks"; Ridders, Adv. Eng. Software 4 (1982) 75

    Examples
    --------
    >>> import graphc, numpy
    >>> x = graphc.input("x", ("N", 3))
    >>> loss = graphc.sum(graphc.relu(graphc.layers.dense(x, 2, name="layer")))
    >>> report = graphc.check_gradients(loss, {"x": numpy.arange(6.0).reshape(2, 3)})
    >>> report.ok, report["layer.weight"].verdict
    (True, 'right')
    >>> def wrong(x):
    ...     return (x**2).sum(), {"x": x}
    >>> report = graphc.check_gradients(wrong, {"x": numpy.array([1.0, -2.0])})
    >>> report["x"].verdict, report["x"].worst.analytic
    ('wrong', -2.0)
    """
    start = time.perf_counter()
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise CheckError(f"check_gradients: samples={samples!r} must be a whole number of at least 1")
    if tolerance is not None and (
        isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or tolerance < 0
    ):
        raise CheckError(f"check_gradients: tolerance={tolerance!r} must be a relative error of at least 0")
    rules = as_conventions(conventions)
    if isinstance(subject, Node):
        report = _node(subject, data, analytic, wrt, parameters, training, samples, tolerance, rules, seed)
    elif is_step(subject):
        if analytic is not None:
            raise CheckError("check_gradients: analytic= goes with a node; a compiled step brings its own gradients")
        report = _step(subject, data, wrt, parameters, training, samples, tolerance, rules, seed)
    elif callable(subject) or (isinstance(subject, tuple | list) and subject):
        if analytic is not None:
            subject = (subject, analytic)
        names = [wrt] if isinstance(wrt, Node | str) else wrt
        chosen = None if names is None else [str(getattr(n, "label", n)) for n in names]
        report = check_function(PythonFunction(subject, _some(data), seed), chosen, samples, tolerance, seed)
    else:
        raise CheckError(
            "check_gradients needs a node, a compiled step, a function that returns (loss, gradients), or a pair "
            f"(forward, backward); found {type(subject).__name__}"
        )
    report.seconds = time.perf_counter() - start
    return report


def _some(data: Any) -> Any:
    if data is None:
        raise DataError("check_gradients: no data; hand in arrays by name: check_gradients(f, {'x': x, 'w': w})")
    return data


# ---- nodes ---------------------------------------------------------------------------------------------


def _node(
    root: Node,
    data: Any,
    analytic: Any,
    wrt: Any,
    parameters: Mapping[str, Any] | None,
    training: bool,
    samples: int,
    tolerance: float | None,
    conventions: Conventions,
    seed: int,
) -> GradientReport:
    check_root(root)
    values = values_of(root, data, parameters, training, seed)
    leaves = leaves_of(root, wrt)
    subject: Subject | None = None
    if analytic is not None:
        if not callable(analytic):
            raise CheckError(
                f"check_gradients: analytic= is a function that returns gradients, found {type(analytic).__name__}"
            )
        given = {n.label: values[n] for n in values if n.kind != "mode"}
        subject = ByHand(analytic, given, seed)
    # another order of the same sums breaks a tie, or makes one
    nearness = 0.0 if subject is None else 64 * float(numpy.finfo("float64").eps)
    point = GraphPoint(root, leaves, values, terms_of(root), nearness, conventions)
    judge = Judge(
        point,
        subject,
        source=f"{subject.name}()" if subject is not None else "graphc's own backward pass",
        tolerance=Tolerance(1e-6 if tolerance is None else tolerance, 1e-9 if subject is None else 1e-8),
        samples=samples,
        seed=seed,
        by_hand=True,
    )
    name = repr(root.label) + (f" by {subject.name}()" if subject is not None else "")
    return judge.report(name, "float64", explicit=wrt is not None)


# ---- compiled steps ------------------------------------------------------------------------------------


def _step(
    step: Any,
    data: Any,
    wrt: Any,
    parameters: Mapping[str, Any] | None,
    training: bool,
    samples: int,
    tolerance: float | None,
    conventions: Conventions,
    seed: int,
) -> GradientReport:
    if not isinstance(data, Mapping | None):
        raise DataError(f"check_gradients: data of a compiled step goes by name; found {type(data).__name__}")
    inputs = {getattr(key, "label", key): value for key, value in (data or {}).items()}
    subject = CompiledStep(step, {})
    own = {name for group in subject.groups for name in group}
    start = {**{k: v for k, v in inputs.items() if k in own}, **(parameters or {})}
    subject.inputs = {name: value for name, value in inputs.items() if name not in own}
    with subject.restored():
        for group in subject.groups:
            for name in group:
                if name in start:
                    _fits(name, group[name], start[name])
                    group[name][...] = start[name]
        saved, subject.saved = subject.saved, [{n: numpy.array(g[n]) for n in g} for g in subject.groups]
        try:
            return _step_report(subject, wrt, training, samples, tolerance, conventions, seed)
        finally:
            subject.saved = saved


def _fits(name: str, array: Array, value: Any) -> None:
    if numpy.shape(value) != array.shape:
        raise DataError(f"check_gradients: {name!r} has shape {array.shape}, found {numpy.shape(value)}")


def _step_report(
    subject: CompiledStep,
    wrt: Any,
    training: bool,
    samples: int,
    tolerance: float | None,
    conventions: Conventions,
    seed: int,
) -> GradientReport:
    root = subject.root()
    _, gradients = subject({})
    wanted = list(gradients) if wrt is None else [wrt] if isinstance(wrt, Node | str) else list(wrt)
    names = [str(getattr(item, "label", item)) for item in wanted]
    for name in names:
        if name not in gradients:
            raise CheckError(
                f"check_gradients: the step returns no gradient for {name!r}{did_you_mean(name, gradients)}; it has "
                f"{', '.join(gradients)}\n  Try: graphc.compile([loss], gradients=[{name!r}])"
            )
    if root is None:
        return check_function(subject, names, samples, tolerance, seed)
    nodes = topological([root])
    by_name = {n.label: n for n in nodes if n.application is None}
    reached = [by_name[name] for name in names if name in by_name]
    inner = [name for name in names if name not in by_name]
    if inner:
        raise CheckError(
            f"check_gradients: {inner[0]!r} is neither an input nor a parameter of the step, so it cannot be moved"
        )
    values: dict[Node, Any] = {}
    for node in by_name.values():
        # as they were before the call above, which may have moved states on
        held = next((saved[node.label] for saved in subject.saved if node.label in saved), None)
        if node.kind == "mode":
            values[node] = numpy.asarray(int(training))
        elif node.kind != "constant":
            given = checked_value(node, subject.inputs[node.label]) if node.label in subject.inputs else held
            # as the kernels see it: rounding of the data is no error of theirs
            values[node] = numpy.array(given, dtype=subject.dtype if node.is_float else "int64")
    bind_sizes(values)
    values = {n: a.astype("float64" if n.is_float else "int64") for n, a in values.items()}
    eps = float(numpy.finfo(subject.dtype).eps)
    point = GraphPoint(root, reached, values, terms_of(root), 64 * eps, conventions)
    judge = Judge(
        point,
        subject,
        source=f"the compiled step ({subject.dtype})",
        tolerance=Tolerance(1024 * eps, 256 * eps) if tolerance is None else Tolerance(tolerance, 256 * eps),
        samples=samples,
        seed=seed,
        dtype=subject.dtype,
    )
    return judge.report(f"{root.label!r} by a compiled step ({subject.dtype})", subject.dtype, explicit=True)
