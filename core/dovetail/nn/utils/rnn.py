"""Sequences of different lengths: padded to one length, or packed step by step.

Meanings follow PyTorch's page ``torch.nn.utils.rnn``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import dovetail

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _PackedSequence(NamedTuple):
    """The fields of :class:`PackedSequence`."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_PackedSequence):
    """Sequences of different lengths, step by step: the first elements of all, then the second ….

    Attributes:
        data: (sum of the lengths, *).
        batch_sizes: (T) of int64 on the host: how many sequences have a step t.
        sorted_indices: where each sequence, longest first, was before they were sorted; or None.
        unsorted_indices: the inverse of that.

    Made by :func:`pack_sequence` and :func:`pack_padded_sequence`.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be "
                "created manually. They should be instantiated by functions like pack_sequence "
                "and pack_padded_sequences in nn.utils.rnn."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor) -> PackedSequence:
        if data is self.data:
            return self
        order = (self.sorted_indices, self.unsorted_indices)
        moved = (None if part is None else part.to(data.device) for part in order)
        return type(self)(data, self.batch_sizes, *moved)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """``data`` moved or cast as ``Tensor.to`` does, indices moved with it."""
        return self._with(self.data.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """All in host memory."""
        return self._with(self.data.to(*args, **{**kwargs, "device": "cpu"}))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """All where ``Tensor.cuda`` puts it."""
        return self._with(self.data.cuda(*args, **kwargs))

    def double(self) -> PackedSequence:
        """``data`` in float64."""
        return self.to(dtype=dovetail.float64)

    def float(self) -> PackedSequence:
        """``data`` in float32."""
        return self.to(dtype=dovetail.float32)

    def half(self) -> PackedSequence:
        """``data`` in float16."""
        return self.to(dtype=dovetail.float16)

    def long(self) -> PackedSequence:
        """``data`` in int64."""
        return self.to(dtype=dovetail.int64)

    def int(self) -> PackedSequence:
        """``data`` in int32."""
        return self.to(dtype=dovetail.int32)

    def short(self) -> PackedSequence:
        """``data`` in int16."""
        return self.to(dtype=dovetail.int16)

    def char(self) -> PackedSequence:
        """``data`` in int8."""
        return self.to(dtype=dovetail.int8)

    def byte(self) -> PackedSequence:
        """``data`` in uint8."""
        return self.to(dtype=dovetail.uint8)

    @property
    def is_cuda(self) -> bool:
        """``Tensor.is_cuda`` of ``data``."""
        return bool(self.data.is_cuda)

    def is_pinned(self) -> bool:
        """Whether ``data`` is in page-locked memory."""
        return bool(self.data.is_pinned())

    def pin_memory(self) -> PackedSequence:
        """The same in page-locked memory."""
        order = (self.sorted_indices, self.unsorted_indices)
        pinned = (None if part is None else part.pin_memory() for part in order)
        return type(self)(self.data.pin_memory(), self.batch_sizes, *pinned)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """(N) -> (N): where each number is in ``permutation``; None of None."""
    if permutation is None:
        return None
    places = dovetail.arange(permutation.numel(), device=permutation.device)
    return dovetail.empty_like(permutation).scatter_(0, permutation, places.to(permutation.dtype))


def _places(lengths: list[int], batch: int) -> list[int]:
    """The places in a flattened (T, N) of all steps that sequences of these lengths have."""
    longest = lengths[0] if lengths else 0
    return [t * batch + n for t in range(longest) for n in range(batch) if t < lengths[n]]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences.

    Args:
        input: (T, N, *), or (N, T, *) with ``batch_first``.
        lengths: (N) on the host, a tensor or a list; T is at least the largest.
        batch_first: see above.
        enforce_sorted: lengths must fall; else the sequences are sorted.

    Raises:
        RuntimeError: lengths that are not sorted, not positive, longer than T or not N of them.
        TypeError: ``input`` is no tensor.
    """
    if not isinstance(input, dovetail.Tensor):
        raise TypeError(f"pack_padded_sequence: input must be a Tensor, not {type(input).__name__}")
    if not isinstance(lengths, dovetail.Tensor):
        lengths = dovetail.as_tensor(lengths, dtype=dovetail.int64, device="cpu")
    lengths = lengths.to(dtype=dovetail.int64)
    if lengths.device.type != "cpu" or lengths.dim() != 1:
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, but got "
            f"{lengths.dim()}D {lengths.device} Long tensor"
        )
    order = None
    if not enforce_sorted:
        lengths, order = dovetail.sort(lengths, descending=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    steps = input.transpose(0, 1) if batch_first else input
    longest, batch = steps.shape[:2]
    sizes = lengths.tolist()
    if len(sizes) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={batch})"
        )
    if any(before < after for before, after in itertools.pairwise(sizes)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if sizes[0] > longest:
        raise RuntimeError(
            f"Expected the input to have at least {sizes[0]} steps, got {longest} "
            "(pack_padded_sequence)"
        )
    batch_sizes = [sum(n > t for n in sizes) for t in range(sizes[0])]
    flat = steps.reshape(longest * batch, *steps.shape[2:])
    if batch_sizes[-1] == batch:
        data = flat[: sizes[0] * batch]
    else:
        places = dovetail.tensor(_places(sizes, batch), dtype=dovetail.int64, device=input.device)
        data = flat.index_select(0, places)
    return PackedSequence(data, dovetail.tensor(batch_sizes, dtype=dovetail.int64), order, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Packed sequences as padded ones, and their lengths: the inverse of packing.

    Args:
        sequence: N sequences, the longest of T steps.
        batch_first: give (N, T, *) instead of (T, N, *).
        padding_value: what fills the rest.
        total_length: pad to this length, at least T.

    Raises:
        ValueError: ``total_length`` is less than T.
    """
    data, batch_sizes, _, unsorted = sequence
    sizes = batch_sizes.tolist()
    if not sizes:
        raise RuntimeError("batch_sizes can not be empty")
    longest, batch = len(sizes), sizes[0]
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in "
                f"input, but got total_length={total_length} and max sequence length being "
                f"{longest}"
            )
        longest = total_length
    lengths = [sum(size > n for size in sizes) for n in range(batch)]
    whole = data.new_full((longest * batch, *data.shape[1:]), padding_value)
    places = dovetail.tensor(_places(lengths, batch), dtype=dovetail.int64, device=data.device)
    padded = whole.index_copy(0, places, data).reshape(longest, batch, *data.shape[1:])
    if batch_first:
        padded = padded.transpose(0, 1)
    made = dovetail.tensor(lengths, dtype=dovetail.int64)
    if unsorted is None:
        return padded, made
    return padded.index_select(0 if batch_first else 1, unsorted), made[unsorted.cpu()]


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L, *) of different lengths as one tensor (T, N, *).

    Args:
        sequences: N tensors, or a tensor that is taken apart along its first dim.
        batch_first: give (N, T, *).
        padding_value: what fills the rest.
        padding_side: ``"right"`` (at the end) or ``"left"``.

    Raises:
        RuntimeError: no sequences, another side, or shapes that differ in more than length.
        TypeError: what is to be padded is no tensor.

    The dtype is the first sequence's.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    parts = list(sequences)
    if not parts:
        raise RuntimeError("received an empty list of sequences")
    for i, part in enumerate(parts):
        if not isinstance(part, dovetail.Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(part).__name__}"
            )
        if not part.dim():
            raise RuntimeError(f"pad_sequence: sequence {i} must have at least 1 dim, got a scalar")
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    longest = max(part.shape[0] for part in parts)
    rest = [0, 0] * (parts[0].dim() - 1)

    def padded(part: Tensor) -> Tensor:
        part = part.to(parts[0].dtype)
        missing = longest - part.shape[0]
        if not missing:
            return part
        sides = (missing, 0) if padding_side == "left" else (0, missing)
        return dovetail.nn.functional.pad(part, (*rest, *sides), "constant", padding_value)

    return dovetail.stack([padded(part) for part in parts], 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """(T, N, *), or (N, T, *) with ``batch_first``, as N sequences of these lengths."""
    sequences = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    pairs = zip(sequences, lengths.tolist(), strict=True)
    return [sequence[: int(length)].clone() for sequence, length in pairs]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L, *) of different lengths, packed.

    Args:
        sequences: N tensors, by falling length unless ``enforce_sorted`` is False.
        enforce_sorted: see above.
    """
    lengths = [sequence.size(0) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed, each (L, *)."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
