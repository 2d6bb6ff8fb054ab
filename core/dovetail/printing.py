"""Printing tensors exactly in PyTorch's form, and the options that steer it.

:func:`format_array` lays out NumPy values and knows nothing of tensors; :func:`tensor_repr` fetches
from a tensor only what will be shown. The form is the one documented on PyTorch's page
``torch.set_printoptions``.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dovetail import dtypes, raw
from dovetail.backend.state import state_of
from dovetail.dtypes import dtype
from dovetail.spec import spec_of
from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "PRINT_OPTS",
    "format_array",
    "get_printoptions",
    "printoptions",
    "set_printoptions",
    "tensor_repr",
]


class _Options:
    """The options in force for the whole process."""

    def __init__(self) -> None:
        self.precision: int = 4
        self.threshold: float = 1000
        self.edgeitems: int = 3
        self.linewidth: int = 80
        self.sci_mode: bool | None = None


PRINT_OPTS = _Options()

_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors print; what is not given keeps its value, except ``sci_mode``.

    Args:
        precision: digits after the point of floating-point numbers (4).
        threshold: more elements than this are summarised (1000).
        edgeitems: elements shown at each end of a summarised dimension (3).
        linewidth: characters per line (80).
        profile: ``default``, ``short`` or ``full`` sets the four above at once.
        sci_mode: scientific notation always (True), never (False), or where it helps (None).

    Example:
        >>> from dovetail.printing import printoptions
        >>> with printoptions(precision=2):
        ...     print(format_array(np.float32([1.12345]), dtype=dtypes.float32))
        tensor([1.12])
    """
    chosen: dict[str, Any] = dict(_PROFILES.get(profile, {})) if profile is not None else {}
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    chosen.update((name, value) for name, value in given.items() if value is not None)
    # As in PyTorch, sci_mode is the one option that every call resets.
    vars(PRINT_OPTS).update(chosen, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keyword arguments for :func:`set_printoptions`."""
    return dict(vars(PRINT_OPTS))


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Context manager: the options of :func:`set_printoptions`, restored at its end."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


# ------------------------------------------------------------------ numbers


class _Column:
    """How the numbers of one tensor (or of its real or imaginary part) are written."""

    def __init__(self, values: np.ndarray) -> None:
        self.width = 1
        self._text: Callable[[Any], str] = str
        if values.dtype.kind == "f":
            self._choose_float_form(values.ravel())
        elif values.size:
            # A number's text is longest at one of the two ends of the range.
            ends = {False, True} & set(values.ravel().tolist()) if values.dtype == bool else ()
            self.width = max(
                len(str(v)) for v in (ends or (values.min().item(), values.max().item()))
            )

    def _choose_float_form(self, values: np.ndarray) -> None:
        self._text = _integral_text
        shown = values[np.isfinite(values) & (values != 0)]
        if not shown.size:
            return
        precision, sci_mode = PRINT_OPTS.precision, PRINT_OPTS.sci_mode
        magnitude = np.abs(shown)
        least, most = float(magnitude.min()), float(magnitude.max())
        if sci_mode is None:
            sci_mode = most / least > 1000.0 or most > 1.0e8 or least < 1.0e-4
        integral = bool((shown == np.ceil(shown)).all())
        # Per sign, text grows with the magnitude, or in scientific form at both its ends.
        candidates = [float(shown.min()), float(shown.max())]
        for part in (shown[shown > 0], shown[shown < 0]):
            if part.size:
                candidates.append(float(part[np.abs(part).argmin()]))
        if sci_mode:
            self._text = lambda v: f"{v:.{precision}e}"
        elif not integral:
            self._text = lambda v: f"{v:.{precision}f}"
        self.width = max(len(self._text(v)) for v in candidates)

    def __call__(self, value: Any) -> str:
        return self._text(value).rjust(self.width)


def _integral_text(value: float) -> str:
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def _element_texts(values: np.ndarray) -> tuple[list[str], int]:
    """The text of every element, in order, and the width that a line is filled by."""
    if values.dtype.kind != "c":
        column = _Column(values)
        return [column(v) for v in values.ravel().tolist()], column.width
    real, imaginary = _Column(values.real), _Column(values.imag)
    texts = []
    for value in values.ravel().tolist():
        second = imaginary(value.imag).lstrip() + "j"
        texts.append(real(value.real) + ("" if second[0] in "+-" else "+") + second)
    return texts, real.width + imaginary.width + 1


# ------------------------------------------------------------------- layout


def _nested(texts: Iterator[str], kept: Sequence[tuple[int, bool]], width: int, indent: int) -> str:
    """Brackets around ``texts``; ``kept`` has per dimension (how many are shown, is it elided)."""
    count, elided = kept[0]
    if len(kept) == 1:
        row = list(itertools.islice(texts, count))
        if elided:
            row.insert(count // 2, " ...")
        per_line = max(1, (PRINT_OPTS.linewidth - indent) // (width + 2))
        lines = [", ".join(row[i : i + per_line]) for i in range(0, len(row), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    blocks = [_nested(texts, kept[1:], width, indent + 1) for _ in range(count)]
    if elided:
        blocks.insert(count // 2, "...")
    return "[" + ("," + "\n" * (len(kept) - 1) + " " * (indent + 1)).join(blocks) + "]"


def _shown_ranges(shape: Sequence[int]) -> list[tuple[slice, ...]]:
    """Per dimension, the slices that are shown: all of it, or its two ends."""
    edge = PRINT_OPTS.edgeitems
    if math.prod(shape) <= PRINT_OPTS.threshold:
        return [(slice(0, n),) for n in shape]
    return [(slice(0, edge), slice(n - edge, n)) if n > 2 * edge else (slice(0, n),) for n in shape]


def _contents(values: np.ndarray, shape: Sequence[int], indent: int) -> str:
    if 0 in shape:
        return "[]"
    ranges = _shown_ranges(shape)
    if shape and not PRINT_OPTS.edgeitems and len(ranges[0]) == 2:
        return "[...]"
    if values.shape == tuple(shape):
        for axis, parts in enumerate(ranges):
            if len(parts) == 2:
                indices = [i for part in parts for i in range(part.start, part.stop)]
                values = values.take(indices, axis)
    if values.dtype.kind not in "biuc":  # half and bfloat16: exact in float64
        values = values.astype(np.float64)
    texts, width = _element_texts(values)
    if not shape:
        return texts[0]
    kept = [(n, len(parts) == 2) for n, parts in zip(values.shape, ranges, strict=True)]
    return _nested(iter(texts), kept, width, indent)


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    """``text`` and its suffixes, each on a new line where it does not fit."""
    # The width of the last line counts two more than it has, as PyTorch's does.
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


def format_array(
    values: np.ndarray | None,
    *,
    dtype: dtype,
    default_dtype: dtype | None = None,
    shape: Sequence[int] | None = None,
    device: str = "",
    history: str = "",
    prefix: str = "tensor(",
    contents: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The text of a tensor whose elements are ``values``.

    Args:
        values: the elements; None where there are none to show (the meta device); or only the
            edges that a summary shows, with ``shape`` saying how large the tensor is.
        dtype: the tensor's dtype, named where it is not what the text would be read as.
        default_dtype: what a plain float is read as; the process's default where None.
        shape: the tensor's shape; that of ``values`` where None.
        device: the device's name, ``""`` where it need not be named.
        history: ``"grad_fn=<...>"``, ``"requires_grad=True"`` or ``""``.
        prefix: the text before the values.
        contents: what to show instead of the values.
        notes: what more to say at the end, such as ``"scale=0.1"``.

    Example:
        >>> format_array(np.zeros((2, 0)), dtype=dtypes.float64)
        'tensor([], size=(2, 0), dtype=torch.float64)'
    """
    default = dtypes.get_default_dtype() if default_dtype is None else default_dtype
    if shape is None:
        assert values is not None, "format_array: shape must be given where values is None"
        shape = values.shape
    empty = 0 in shape
    # An int64 or a bool is read back as itself, but not where there is no element to read.
    implied = {default}
    if values is not None and not empty:
        implied |= {default.to_complex(), dtypes.int64, dtypes.bool_}
    names_size = (
        bool(notes) or values is None or (len(shape) != 1 if empty else not PRINT_OPTS.edgeitems)
    )
    suffixes = [f"device='{device}'"] if device else []
    if names_size:
        suffixes.append(f"size={tuple(shape)}")
    if dtype not in implied:
        suffixes.append(f"dtype={dtype!r}")
    if history:
        suffixes.append(history)
    suffixes.extend(notes)
    if contents is None:
        contents = "..." if values is None else _contents(values, shape, len(prefix))
    return _with_suffixes(prefix + contents, suffixes, len(prefix))


# ------------------------------------------------------------------ tensors


def tensor_repr(tensor: Tensor, *, tensor_contents: str | None = None) -> str:
    """The text of a tensor, as ``repr`` gives it.

    Of a large tensor only the elements that are shown leave its device.

    Args:
        tensor_contents: what to show instead of the values.
    """
    hidden = tensor._spec.batch
    if hidden is not None:
        value = tensor_repr(tensor._array.value, tensor_contents=tensor_contents)
        inner = value.replace("\n", "\n    ")
        return f"BatchedTensor(lvl={hidden.depth}, bdim=0, value=\n    {inner}\n)"
    kind = type(tensor)
    plain, is_parameter = True, False
    if kind is not Tensor:
        from dovetail.nn.parameter import Parameter

        is_parameter = isinstance(tensor, Parameter)
        plain = kind is Parameter
    history = ""
    if tensor.grad_fn is not None:
        history = f"grad_fn=<{tensor.grad_fn.name()}>"
    elif tensor.requires_grad:
        history = "requires_grad=True"
    text = format_array(
        None if tensor.is_meta else _shown_values(tensor),
        dtype=tensor.dtype,
        shape=tensor.shape,
        device="" if tensor.is_cpu else str(tensor.device),
        history=history,
        prefix="tensor(" if plain else f"{kind.__name__}(",
        contents=tensor_contents,
    )
    return f"Parameter({text})" if is_parameter and not plain else text


def _shown_values(tensor: Tensor) -> np.ndarray:
    """The elements on the host: all of them, or only the edges that a summary shows."""
    ranges = _shown_ranges(tensor.shape)
    if _host_arrays(tensor) or all(len(parts) == 1 for parts in ranges):
        return _on_host(tensor)
    # Every corner is fetched by itself: a few small copies instead of one large one.
    shape = [sum(part.stop - part.start for part in parts) for parts in ranges]
    values = np.empty(shape, tensor.dtype.numpy)
    for corner in itertools.product(*ranges):
        target = tuple(
            slice(0, p.stop) if p.start == 0 else slice(n - (p.stop - p.start), n)
            for p, n in zip(corner, shape, strict=True)
        )
        values[target] = _on_host(_part(tensor, corner))
    return values


def _part(tensor: Tensor, corner: tuple[slice, ...]) -> Tensor:
    strides = tensor.stride()
    shape = tuple(part.stop - part.start for part in corner)
    offset = sum(part.start * step for part, step in zip(corner, strides, strict=True))
    return raw.view(tensor, spec_of(shape, tensor.dtype, tensor.device, strides), offset)


def _host_arrays(tensor: Tensor) -> bool:
    return state_of(tensor.device).host_arrays


def _on_host(tensor: Tensor) -> np.ndarray:
    return raw.to_host(tensor)
