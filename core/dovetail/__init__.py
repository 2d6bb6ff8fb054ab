"""dovetail: a deep-learning framework whose devices plug in, with PyTorch's names and meanings.

``import dovetail as torch`` runs PyTorch code; ``dovetail.device("name:0")`` is any device that a
plugin has registered.
"""

from __future__ import annotations

from typing import Any

from dovetail import ops
from dovetail.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from dovetail.device import device, get_default_device, set_default_device
from dovetail.dtypes import (
    bfloat16,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)
from dovetail.dtypes import bool_ as bool
from dovetail.dtypes import float_ as float
from dovetail.dtypes import int_ as int
from dovetail.factories import *  # noqa: F403
from dovetail.promotion import can_cast, promote_types, result_type
from dovetail.spec import Size
from dovetail.tensor import Tensor

__version__ = "0.1.0"


def _start() -> None:
    """Everything that must happen once, in this order: the core's own device, methods, watchers."""
    import dovetail.interop
    import dovetail.operators  # noqa: F401
    from dovetail.backend.loader import registry
    from dovetail.backend.meta import backend as meta

    registry.register("meta", meta, indexed=False)


_start()


def __getattr__(name: str) -> Any:
    function = ops.FUNCTIONS.get(name)
    if function is None:
        raise AttributeError(f"module 'dovetail' has no attribute {name!r}")
    globals()[name] = function
    return function
