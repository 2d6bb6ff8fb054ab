"""``torch.backends``: switches of the libraries that devices compute with, by PyTorch's names.

They can be set and read again. A backend that computes with a library obeys its switches: ``cuda``
those of products and convolutions on NVIDIA's GPUs. The others change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dovetail.warning import warn

__all__ = [
    "cuda", "cudnn", "get_float32_matmul_precision", "mkl", "mkldnn", "mps", "openmp", "quantized",
    "set_float32_matmul_precision",
]  # fmt: skip


class _Switches:
    """A library that PyTorch has beside it, with its switches as attributes."""

    def __init__(self, about: str, **switches: Any) -> None:
        self.__doc__ = about
        self.__dict__.update(switches)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

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
quantized = _Switches(
    "Kernels of quantized tensors: names only, every device computes what any of them does.",
    engine="x86", supported_engines=["qnnpack", "onednn", "x86", "fbgemm"],
)  # fmt: skip


_PRECISIONS = ("highest", "high", "medium")
_reduced = "high"


def get_float32_matmul_precision() -> str:
    """How exactly products of float32 are computed; see :func:`set_float32_matmul_precision`.

    Example:
        >>> dt.get_float32_matmul_precision()
        'highest'
    """
    return _reduced if cuda.matmul.allow_tf32 else "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Choose how exactly devices compute products of float32.

    Args:
        precision: ``"highest"``: in float32; ``"high"`` or ``"medium"``: factors may be rounded to
            fewer bits where a device is faster so (TensorFloat-32 on NVIDIA's GPUs); it sets
            ``backends.cuda.matmul.allow_tf32``.

            Another word changes nothing, with a warning.

    Raises:
        RuntimeError: not a string.
    """
    global _reduced
    if not isinstance(precision, str):
        kind = type(precision).__name__
        raise RuntimeError(f"set_float32_matmul_precision expects a str, but got {kind}")
    if precision not in _PRECISIONS:
        warn(
            f"set_float32_matmul_precision: precision must be one of {_PRECISIONS}, got "
            f"{precision!r}; the call has no effect",
        )
        return
    cuda.matmul.allow_tf32 = precision != "highest"
    _reduced = "medium" if precision == "medium" else "high"
