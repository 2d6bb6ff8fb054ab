"""OpDef: the one record per operator, from which functions, methods, checks and tests are made."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dovetail.dtypes import ALL, dtype
from dovetail.spec import Spec

__all__ = [
    "PARTS",
    "REGISTRY",
    "CallFacts",
    "ErrorInput",
    "Inferred",
    "OpDef",
    "Sample",
    "Tolerance",
]

Facts = Spec | type | None
"""What is known of an input before running: a tensor's Spec, a Python number's type, or absent."""


class Inferred(NamedTuple):
    """What an operator's rule says of a call.

    Attributes:
        compute: per input, the dtype that the kernel takes it in; None: as it is.
        outs: per output, ``(shape, dtype)`` or ``(shape, dtype, strides)``.
    """

    compute: tuple[dtype | None, ...]
    outs: tuple[tuple[Any, ...], ...]


class Sample(NamedTuple):
    """One way to call an operator: positional arguments (NumPy arrays become tensors), keywords."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = {}
    name: str = ""


class ErrorInput(NamedTuple):
    """A wrong call: arguments, the exception it must raise, and a pattern of its text."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class Tolerance:
    """How far a result may be from the float64 reference.

    Attributes:
        ulp: units in the last place of the result's dtype that a result may be off: of each
            element for an elementwise operator, of the largest element for the others.
        contraction: the result is a sum of products; what it may be off grows with sqrt(K).
        length: ``length(*arguments) -> K``, the terms in the longest sum, from a sample's
            arguments; None: the last dim of the first array where ``contraction``, all of its
            elements for a reduction or a scan, else one.
        against: ``"element"``, ``"largest"`` (of the results) or ``"inputs"`` (the largest of
            those too), where the kind of operator does not say it right: differences cancel.
    """

    ulp: float = 4.0
    contraction: bool = False
    length: Callable[..., int] | None = None
    against: str = ""

    def elementwise(self, kind: str) -> bool:
        """Whether each element is measured against itself, for an operator of this kind."""
        return (self.against or _AGAINST.get(kind, "largest")) == "element"

    def terms(self, kind: str, arguments: Sequence[Any]) -> int:
        """The number of terms in the longest sum of a call of an operator of this kind."""
        if self.length is not None:
            return max(1, int(self.length(*arguments)))
        first = next((a for a in arguments if isinstance(a, np.ndarray)), None)
        if first is None or not first.ndim:
            return 1
        if self.contraction:
            return max(1, int(first.shape[-1]))
        return max(1, first.size) if kind in ("reduce", "scan") else 1


_AGAINST = {"elementwise": "element", "compare": "element", "select": "element", "view": "element"}


_MOST_PARTS = 256
"""Sentences may have sizes in them."""


class CallFacts:
    """One resolved call as a kernel's ``when`` and a specialised kernel see it.

    Attributes:
        inputs: Spec per input in the order of the record (a type for a Python number, or None).
        outputs: Spec per output.
        attributes: by name.

    A named input is also an attribute: ``facts.weight.shape``.
    """

    def __init__(
        self,
        op: OpDef,
        inputs: tuple[Facts, ...],
        outputs: tuple[Spec, ...],
        attributes: dict[str, Any],
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.attributes = attributes

    def __getattr__(self, name: str) -> Any:
        if name in self.op.inputs:
            return self.inputs[self.op.inputs.index(name)]
        if name in self.attributes:
            return self.attributes[name]
        raise AttributeError(f"{self.op.name} has no input or attribute {name!r}")


@dataclass(eq=False)
class OpDef:
    """One operator.

    Attributes:
        name: as in PyTorch, or in the contract for primitives.
        kind: elementwise, compare, select, reduce, scan, order, index, contract, storage, random,
            view or composite.
        inputs: names of the tensor inputs, in the order that kernels take them.
        attributes: names of the other arguments, in the order of the plan's key.
        variadic: the inputs are a list of any length.
        outputs: how many tensors come out.
        infer: ``infer(*facts, **attributes) -> Inferred``; None: by running the decomposition on
            tensors without data.
        gradient: per input name, a function whose parameter names say what it needs: ``g`` (the
            output's gradient), input names, ``out``/``outs``, attribute names. Or one function of
            that kind that returns a tuple for all inputs, and may ask for ``needs``.
        complex_gradient: the same for calls with complex inputs, where it differs.
        recorded: the operator, of the same inputs and attributes, whose first output this one's is
            where a gradient is recorded and the device has a kernel of both; it has the gradient.
        differentiable: outputs that a gradient flows through (by position).
        decompose: the operator in terms of others, ``decompose(*inputs, **attributes)``.
        compute: the dtype that half and bfloat16 inputs are decomposed in (None: their own).
        accepts: dtypes that the first input may have.
        reference: an independent implementation on float64 (or exact integer) NumPy arrays.
        samples: ``samples(rng, dtype) -> list[Sample]``.
        special: values that an elementwise operator is tried with.
        errors: ``errors() -> list[ErrorInput]``.
        tolerance: see :class:`Tolerance`.
        needs_data: the output's shape depends on the data.
        required: a backend must have a kernel of it.
        inplace: ``x.name_()`` exists.
        method: ``x.name()`` exists.
        public: ``dovetail.name`` exists.
        function: the public function, once made.
        named: what errors that a device finds call it, where users know it by another name.
        sentence: what they say of an index out of range (see ``dovetail.backend.sentences``); empty
            where its kernels know.
        parts: what :meth:`part_of` made.
        node_name: ``node_name(*facts, **attributes)``: what its node is called, where that is not
            the operator's name (``linear`` prints as ``AddmmBackward0``).
    """

    name: str
    kind: str = "composite"
    inputs: tuple[str, ...] = ("input",)
    attributes: tuple[str, ...] = ()
    variadic: bool = False
    outputs: int = 1
    infer: Callable[..., Inferred] | None = None
    gradient: Any = None
    complex_gradient: Any = None
    recorded: str = ""
    differentiable: tuple[int, ...] = (0,)
    decompose: Callable[..., Any] | None = None
    compute: dtype | None = None
    accepts: tuple[dtype, ...] = ALL
    reference: Callable[..., Any] | None = None
    samples: Callable[[np.random.Generator, dtype], list[Sample]] | None = None
    special: tuple[float, ...] = ()
    errors: Callable[[], list[ErrorInput]] | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    needs_data: bool = False
    required: bool = False
    inplace: bool = False
    method: bool = True
    public: bool = True
    function: Callable[..., Any] | None = None
    node_name: Callable[..., str] | None = None
    named: str = ""
    sentence: str = ""
    plans: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)
    writes: dict[Any, Callable[..., Any]] = field(default_factory=dict, repr=False)
    parts: dict[tuple[str, str], OpDef] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(f"operator {self.name!r} is defined twice")
        REGISTRY[self.name] = self

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _registered, (self.name,)

    @property
    def title(self) -> str:
        """What errors call it."""
        return self.named or self.name

    def part_of(self, name: str, sentence: str = "", **changes: Any) -> OpDef:
        """The same operator with plans of its own, for a step of what the user called ``name``.

        Kernels are found, and gradients recorded, by the operator's own name. What a device reports
        names the other, without a cost per call.

        Args:
            sentence: as the attribute.
            changes: further attributes that differ.
        """
        made = self.parts.get((name, sentence))
        if made is None:
            made = object.__new__(OpDef)
            fresh: dict[str, Any] = {"plans": {}, "writes": {}, "parts": {}}
            made.__dict__.update(self.__dict__, **fresh, named=name, sentence=sentence, **changes)
            if len(self.parts) >= _MOST_PARTS:
                self.parts.clear()
            self.parts[name, sentence] = made
            PARTS.add(made)
        return made

    @property
    def is_optional(self) -> bool:
        """Whether it is a kernel that a device need not have: the host's serves in its place.

        There is nothing that it could be decomposed into; the policy ``DOVETAIL_FALLBACK`` decides.
        """
        elsewhere = self.kind not in ("view", "storage", "random")
        return self.decompose is None and not self.required and elsewhere

    @staticmethod
    @functools.lru_cache(maxsize=4096)
    def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
        """The names a gradient function asks for."""
        return tuple(inspect.signature(function).parameters)


REGISTRY: dict[str, OpDef] = {}
"""Every operator by name."""

PARTS: weakref.WeakSet[OpDef] = weakref.WeakSet()
"""Every operator that stands for a step of another (see :meth:`OpDef.part_of`)."""


def _registered(name: str) -> OpDef:
    return REGISTRY[name]
