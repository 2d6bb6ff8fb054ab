"""What a caller may write: the parameters and types of every public function, as stub text.

They are read from the functions themselves. Where an annotation says less than is known (``Any``,
or nothing), the parameter's name decides: names are PyTorch's and mean the same everywhere. What
one signature cannot say stands in ``overloads.pyi``.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import dovetail.return_types
from dovetail import Tensor, float32, tensor
from dovetail.ops import FUNCTIONS, REGISTRY
from dovetail.ops.schema import OpDef

__all__ = ["Parameter", "Signature", "hand_written", "method_signatures", "signatures", "tensors"]

RESULTS: Any = dovetail.return_types

OVERLOADS = Path(__file__).with_name("overloads.pyi")

WORDS = {
    "int": "_int", "float": "_float", "bool": "_bool", "complex": "_complex",
    "d.dtype": "_dtype", "DType": "_dtype", "dtype": "_dtype", "dtypes.dtype": "_dtype",
    "Device": "_device", "device": "_device", "memory_format": "_memory_format",
    "layout": "_layout", "Layout": "_layout", "np.ndarray": "NDArray[Any]",
    "NoReturn": "NoReturn", "type": "_type", "d.memory_format": "_memory_format",
    "numbers.Number": "Number", "dovetail.Tensor": "Tensor", "dovetail.Generator": "Generator",
}  # fmt: skip
"""How an annotation's words are written in a stub, where methods have the names of types."""

KNOWN = {
    "Any", "Callable", "DeviceLike", "Ellipsis", "Generator", "Iterable", "Iterator", "Literal",
    "Mapping", "NDArray", "None", "Number", "Sequence", "Size", "Tensor", "UntypedStorage", "dict",
    "list", "object", "slice", "str", "tuple",
}  # fmt: skip

_MANY = "int | Sequence[int]"
_EITHER = "Tensor | Number"
NAMES = {
    "input": "Tensor", "tensor": "Tensor", "weight": "Tensor", "bias": "Tensor", "mask": "Tensor",
    "index": "Tensor", "src": "Tensor", "source": "Tensor", "running_mean": "Tensor",
    "running_var": "Tensor", "A": "Tensor", "B": "Tensor", "x": "Tensor", "y": "Tensor",
    "other": _EITHER, "exponent": _EITHER, "value": _EITHER, "min": _EITHER, "max": _EITHER,
    "elements": _EITHER, "test_elements": _EITHER, "threshold": "Number",
    "alpha": "Number", "beta": "Number", "fill_value": "Number",
    "dim": _MANY, "dims": _MANY, "size": _MANY, "sizes": _MANY, "shape": _MANY, "shapes": _MANY,
    "repeats": _MANY, "shifts": _MANY, "axis": _MANY, "stride": _MANY, "kernel_size": _MANY,
    "padding": _MANY, "dilation": _MANY, "output_size": _MANY, "destination": _MANY,
    "indices_or_sections": "int | Sequence[int] | Tensor", "s": "Sequence[int]",
    "split_size_or_sections": _MANY, "start": "int | Tensor", "storage_offset": "int",
    "keepdim": "bool", "keepdims": "bool", "dtype": "dtype", "device": "DeviceLike",
    "layout": "layout", "memory_format": "memory_format", "generator": "Generator",
    "p": "float", "out": "Tensor", "tensors": "Tensor | Sequence[Tensor]",
    "matrices": "Tensor", "generator_": "Generator", "equation": "str", "index_": "int",
    "query": "Tensor", "key": "Tensor", "attn_mask": "Tensor", "training": "bool",
    "momentum": "float", "eps": "float", "q": "float | Tensor", "dx": "Number", "end": "int",
    "maxnorm": "Number", "rtol": "float | Tensor", "atol": "float | Tensor", "M": "Tensor",
    "tol": "float | Tensor", "rcond": "float | Tensor", "ord": "float | str",
    "hop_length": "int", "win_length": "int", "window": "Tensor", "spacing": "Any",
}  # fmt: skip
"""Types of parameters whose annotation does not say."""

NOT_A_SEQUENCE = {"movedim.source": _MANY, "moveaxis.source": _MANY, "norm.p": "float | str",
                  "unsqueeze.dim": "int", "unflatten.dim": "int", "full.fill_value": "Number",
                  "masked_fill.value": _EITHER, "logsumexp.dim": _MANY,
                  "tensordot.dims": f"{_MANY} | Sequence[Sequence[int]]",
                  "conv1d.padding": f"{_MANY} | str", "conv2d.padding": f"{_MANY} | str",
                  "conv3d.padding": f"{_MANY} | str",
                  "scaled_dot_product_attention.value": "Tensor"}  # fmt: skip
"""``function.parameter``: where a name means something else."""

CHOICES = {
    "rounding_mode": ("trunc", "floor"), "indexing": ("ij", "xy"), "side": ("left", "right"),
    "reduction": ("none", "mean", "sum"), "UPLO": ("L", "U"),
    "kl_div.reduction": ("none", "mean", "sum", "batchmean"),
    "scatter_reduce.reduce": ("sum", "prod", "mean", "amax", "amin"),
    "index_reduce.reduce": ("prod", "mean", "amax", "amin"),
    "index_reduce_.reduce": ("prod", "mean", "amax", "amin"),
    "scatter.reduce": ("add", "multiply"), "scatter_.reduce": ("add", "multiply"),
}  # fmt: skip
"""Strings that are one of a few, by parameter or ``function.parameter``."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: ``star`` is ``*``, ``**`` or empty; ``default`` is None for none."""

    name: str
    annotation: str
    default: str | None = None
    star: str = ""
    keyword_only: bool = False
    positional_only: bool = False

    def __str__(self) -> str:
        text = f"{self.star}{self.name}"
        if self.annotation:
            text += f": {self.annotation}"
        if self.default is not None:
            text += f" = {self.default}" if self.annotation else f"={self.default}"
        return text


@dataclass(frozen=True)
class Signature:
    """One way to call a function."""

    parameters: tuple[Parameter, ...]
    returns: str

    def declared(self) -> Iterator[str]:
        """The parameters as they stand between parentheses, with the bare ``*``."""
        starred, before = False, False
        for p in self.parameters:
            if before and not p.positional_only:
                yield "/"
            before = p.positional_only
            if p.keyword_only and not starred:
                yield "*"
                starred = True
            starred = starred or p.star == "*"
            yield str(p)
        if before:
            yield "/"

    def define(self, name: str, doc: str = "", indent: str = "", decorator: str = "") -> str:
        """A ``def`` with a docstring, or with ``...``."""
        head = f"{indent}{decorator}def {name}("
        line = f"{head}{', '.join(self.declared())}) -> {self.returns}:"
        if len(line) > 96:
            rows = "".join(f"{indent}    {p},\n" for p in self.declared())
            line = f"{head}\n{rows}{indent}) -> {self.returns}:"
        if not doc:
            return f"{line} ...\n"
        return f'{line}\n{indent}    """{doc}"""\n'

    def without(self, *names: str) -> Signature:
        """The same call without some parameters."""
        return replace(self, parameters=tuple(p for p in self.parameters if p.name not in names))

    def as_method(self) -> Signature:
        """The first parameter becomes ``self``; methods have no ``out=``."""
        first, *rest = self.without("out").parameters
        if first.star:  # several tensors: the method has one
            return replace(self, parameters=(Parameter("self", ""),))
        bare = first.positional_only and rest and rest[0].positional_only
        return replace(
            self, parameters=(replace(Parameter("self", ""), positional_only=bool(bare)), *rest)
        )

    def inplace(self) -> Signature:
        """The call that writes into its first parameter."""
        return replace(self.as_method(), returns="Tensor")


# Reading a function.


def signatures(name: str, function: Callable[..., Any], where: str = "") -> list[Signature]:
    """How a public function may be called.

    Args:
        where: its namespace below ``dovetail``, such as ``linalg``.
    """
    written = hand_written().get(f"{where}.{name}" if where else name)
    if written:
        return written
    base = name[:-1]
    if not where and name.endswith("_") and base in FUNCTIONS and _is_general(function):
        first = _first_name(function)
        return [
            replace(s, parameters=(Parameter(first, "Tensor"), *s.parameters[1:]))
            for s in (x.inplace() for x in signatures(base, FUNCTIONS[base]))
        ]
    return [_read(name, function, where)]


def method_signatures(name: str, function: Callable[..., Any]) -> list[Signature]:
    """How a method that was given to ``Tensor`` may be called."""
    written = hand_written("Tensor").get(name)
    if written:
        return written
    base = name[:-1]
    if name.endswith("_") and not name.startswith("__") and _is_general(function):
        if base in FUNCTIONS:
            return _unique(s.inplace() for s in signatures(base, FUNCTIONS[base]))
        if base in hand_written("Tensor"):
            return [s.inplace() for s in hand_written("Tensor")[base]]
    twin = FUNCTIONS.get(name)
    same = twin is not None and getattr(twin, "__wrapped__", twin) in (
        function, getattr(function, "__wrapped__", function),
    )  # fmt: skip
    if same or (name in hand_written() and twin is not None):
        return _unique(s.as_method() for s in signatures(name, FUNCTIONS[name]))
    return [_read(name, function).as_method()]


def _unique(found: Iterator[Signature]) -> list[Signature]:
    return list(dict.fromkeys(found))


def _is_general(function: Callable[..., Any]) -> bool:
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


def _first_name(function: Callable[..., Any]) -> str:
    return next(iter(inspect.signature(function).parameters))


def _read(name: str, function: Callable[..., Any], where: str = "") -> Signature:
    signature = inspect.signature(function)
    returns = _returns(name, function, signature.return_annotation, where)
    parameters = [
        _parameter(name, p, i == 0)
        for i, p in enumerate(signature.parameters.values())
        if not p.name.startswith("_")
    ]
    if "out" not in signature.parameters and _takes_out(function):
        kind = "Tensor" if returns == "Tensor" else "tuple[Tensor, ...]"
        parameters.append(Parameter("out", f"{kind} | None", "None", keyword_only=True))
    elif returns.startswith("return_types."):
        parameters = [
            replace(p, annotation="tuple[Tensor, ...] | None") if p.name == "out" else p
            for p in parameters
        ]
    return Signature(tuple(parameters), returns)


def _takes_out(function: Callable[..., Any] | None) -> bool:
    """Whether the function or one that it wraps has ``out``."""
    while inspect.isfunction(function):
        if "out" in inspect.signature(function, follow_wrapped=False).parameters:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _parameter(function: str, p: inspect.Parameter, first: bool) -> Parameter:
    star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
    default = None if p.default is p.empty or star else default_text(p.default)
    annotation = _annotation(function, p)
    optional = p.default is None and not re.search(r"\bNone\b|^Any$", annotation)
    if optional:
        annotation += " | None"
    if first and p.name == "self":
        annotation = "Tensor"
    return Parameter(p.name, annotation, default, star, p.kind is p.KEYWORD_ONLY)


def _annotation(function: str, p: inspect.Parameter) -> str:
    said = p.annotation.__name__ if isinstance(p.annotation, type) else str(p.annotation)
    if p.annotation is p.empty:
        said = ""
    key = f"{function}.{p.name}"
    choices = CHOICES.get(key, CHOICES.get(p.name))
    if choices and said in ("str", "str | None", "Any", "", "Reduction", "BatchReduction"):
        return f"Literal[{', '.join(map(repr, choices))}]"
    if said in ("", "Any", "Any | None"):
        said = NOT_A_SEQUENCE.get(key) or NAMES.get(p.name) or _by_default(p.default)
    text = written(said)
    if text == "Any" and p.name in NAMES:  # an alias of a module's own
        text = written(NAMES[p.name])
    return text


def _by_default(default: Any) -> str:
    if isinstance(default, (bool, int, float, str)):
        return type(default).__name__
    return "Any"


def written(annotation: str) -> str:
    """An annotation in the words of the stubs; Any where it has a word that they lack."""
    annotation = annotation.strip("'\"")
    literal = annotation.startswith("Literal")

    def word(found: re.Match[str]) -> str:
        return WORDS.get(found[0], found[0])

    text = annotation if literal else re.sub(r"[A-Za-z_][\w.]*", word, annotation)
    words = set(re.findall(r"[A-Za-z_][\w.]*", "" if literal else text))
    unknown = words - KNOWN - set(WORDS.values())
    unknown = {w for w in unknown if not w.startswith("return_types.")}
    return "Any" if unknown else text


def _returns(name: str, function: Callable[..., Any], said: Any, where: str) -> str:
    text = "" if said is inspect.Signature.empty else str(said)
    if text not in ("", "Any"):
        return written(text)
    base = getattr(function, "__name__", name)
    for known in (f"{where}_{name}", base) if where else (name, base):
        if known in RESULTS.__all__:
            return f"return_types.{known}"
    op = REGISTRY.get(base) or REGISTRY.get(name)
    if op is not None and op.outputs > 1 and not _makes_one(op):
        return f"tuple[{', '.join(['Tensor'] * op.outputs)}]"
    # A function that only puts operators together and names no result makes one tensor.
    return "Tensor"


def _makes_one(op: OpDef) -> bool:
    """Whether the public function keeps further outputs to itself, seen at a sample."""
    if op.samples is None or op.function is None:
        return False
    sample = op.samples(np.random.default_rng(0), float32)[0]
    arguments, keywords = tensors((sample.args, dict(sample.kwargs)))
    return isinstance(op.function(*arguments, **keywords), Tensor)


def tensors(value: Any) -> Any:
    """NumPy arrays in a structure become tensors."""
    if isinstance(value, np.ndarray):
        return tensor(value)
    if isinstance(value, dict):
        return {k: tensors(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(tensors(v) for v in value)
    return value


def default_text(value: Any) -> str:
    """A default as it can stand in a stub."""
    if value is None or isinstance(value, (bool, int, str)):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "..."
    if isinstance(value, tuple) and all(isinstance(v, (int, float, str)) for v in value):
        return repr(value)
    return "..."


# What is written by hand.

_written: dict[str, dict[str, list[Signature]]] = {}


def hand_written(owner: str = "") -> dict[str, list[Signature]]:
    """Signatures of ``overloads.pyi``: its functions, or the methods of one of its classes.

    A class in lower case is a namespace: its functions are called ``linalg.name``.
    """
    if not _written:
        _written[""] = {}
        for node in ast.parse(OVERLOADS.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                _written[""].setdefault(node.name, []).append(_from_tree(node))
            elif isinstance(node, ast.ClassDef):
                space = node.name[:1].islower()
                table = _written[""] if space else _written.setdefault(node.name, {})
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        key = f"{node.name}.{inner.name}" if space else inner.name
                        table.setdefault(key, []).append(_from_tree(inner))
    return _written.get(owner, {})


def _from_tree(node: ast.FunctionDef) -> Signature:
    made: list[Parameter] = []
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    for a, default in zip(positional, [*defaults, *node.args.defaults], strict=True):
        made.append(replace(_from_argument(a, default), positional_only=a in node.args.posonlyargs))
    if node.args.vararg:
        made.append(_from_argument(node.args.vararg, None, "*"))
    for a, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        made.append(replace(_from_argument(a, default), keyword_only=True))
    if node.args.kwarg:
        made.append(_from_argument(node.args.kwarg, None, "**"))
    return Signature(tuple(made), "None" if node.returns is None else ast.unparse(node.returns))


def _from_argument(a: ast.arg, default: ast.expr | None, star: str = "") -> Parameter:
    annotation = "" if a.annotation is None else ast.unparse(a.annotation)
    return Parameter(a.arg, annotation, None if default is None else ast.unparse(default), star)
