"""``torch.backends``: switches of PyTorch's libraries, so that programs which set them run.

They can be set and read again. Dovetail's devices choose their kernels themselves, and none of
these switches changes a result here; ``is_available()`` says whether a device could use one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "cuda", "cudnn", "get_float32_matmul_precision", "mkl", "mkldnn", "mps", "openmp",
    "set_float32_matmul_precision",
]  # fmt: skip


class _Switches:
    """A library that PyTorch has beside it, with its switches as attributes."""

    def __init__(self, about: str, **switches: Any) -> None:
        self.__doc__ = about
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """Whether a device here computes with this library: it does not."""
        return False

    @contextmanager
    def flags(self, **switches: Any) -> Iterator[None]:
        """Other values for switches inside of a ``with`` block.

        Raises:
            TypeError: a switch that there is not.
        """
        for name in switches:
            if name not in self.__dict__:
                raise TypeError(f"flags() got an unexpected keyword argument '{name}'")
        before = {name: self.__dict__[name] for name in switches}
        self.__dict__.update(switches)
        try:
            yield
        finally:
            self.__dict__.update(before)


@contextmanager
def _sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[dict[str, bool]]:  # fmt: skip
    """PyTorch 2.0's form of ``nn.attention.sdpa_kernel``: a block that changes nothing here."""
    yield {}


cudnn = _Switches(
    "NVIDIA's convolutions.", enabled=True, benchmark=False, benchmark_limit=10,
    deterministic=False, allow_tf32=True,
)  # fmt: skip
cuda = _Switches(
    "NVIDIA's matrix products.",
    sdp_kernel=_sdp_kernel,
    matmul=_Switches(
        "Precision of products.", allow_tf32=False, allow_fp16_reduced_precision_reduction=True,
        allow_bf16_reduced_precision_reduction=True,
    ),
)  # fmt: skip
mps = _Switches("Apple's GPUs.")
mkl = _Switches("Intel's linear algebra.")
mkldnn = _Switches("oneDNN inside PyTorch.", enabled=True, deterministic=False, allow_tf32=True)
openmp = _Switches("Threads of PyTorch's kernels.")

_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def get_float32_matmul_precision() -> str:
    """What was set last: ``"highest"``, ``"high"`` or ``"medium"``."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Say how exactly products of float32 have to be computed; here they always are exact.

    Raises:
        RuntimeError: another word than ``"highest"``, ``"high"`` or ``"medium"``.

    >>> import dovetail as dt
    >>> dt.set_float32_matmul_precision("high")
    >>> dt.get_float32_matmul_precision(), dt.backends.cuda.matmul.allow_tf32
    ('high', True)
    >>> dt.set_float32_matmul_precision("highest")
    """
    global _precision
    if precision not in _PRECISIONS:
        raise RuntimeError(
            f"set_float32_matmul_precision: must be one of {', '.join(_PRECISIONS)}, got "
            f"{precision!r}"
        )
    _precision = precision
    cuda.matmul.allow_tf32 = precision != "highest"  # type: ignore[attr-defined]
