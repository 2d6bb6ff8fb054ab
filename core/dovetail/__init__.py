"""dovetail: a deep-learning framework whose devices plug in, with PyTorch's names and meanings.

``import dovetail as torch`` runs PyTorch code; ``dovetail.device("name:0")`` is any device that a
plugin has registered.
"""

from __future__ import annotations

import importlib.util
import math
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
from dovetail.factories import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    empty_strided,
    eye,
    from_numpy,
    frombuffer,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    zeros,
    zeros_like,
)
from dovetail.generator import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from dovetail.memory_formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    memory_format,
    preserve_format,
)
from dovetail.observe import trace
from dovetail.printing import set_printoptions
from dovetail.promotion import can_cast, promote_types, result_type
from dovetail.spec import Size
from dovetail.tensor import Tensor, is_tensor, strided

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "accelerator",
    "arange",
    "as_tensor",
    "asarray",
    "bfloat16",
    "bool",
    "can_cast",
    "cdouble",
    "cfloat",
    "channels_last",
    "channels_last_3d",
    "complex64",
    "complex128",
    "contiguous_format",
    "device",
    "double",
    "dtype",
    "e",
    "empty",
    "empty_like",
    "empty_strided",
    "enable_grad",
    "eye",
    "finfo",
    "float",
    "float16",
    "float32",
    "float64",
    "from_numpy",
    "frombuffer",
    "full",
    "full_like",
    "get_default_device",
    "get_default_dtype",
    "get_rng_state",
    "half",
    "iinfo",
    "inf",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_tensor",
    "linspace",
    "logspace",
    "long",
    "manual_seed",
    "memory_format",
    "nan",
    "newaxis",
    "no_grad",
    "ones",
    "ones_like",
    "ops",
    "pi",
    "preserve_format",
    "promote_types",
    "result_type",
    "scalar_tensor",
    "seed",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_printoptions",
    "set_rng_state",
    "short",
    "strided",
    "tensor",
    "trace",
    "uint8",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"
e, inf, nan, pi = math.e, math.inf, math.nan, math.pi
newaxis = None


def _start() -> None:
    """Everything that must happen once, in this order: the core's own device, methods, watchers."""
    import dovetail.autograd.engine
    import dovetail.dlpack
    import dovetail.facts
    import dovetail.interop
    import dovetail.operators
    import dovetail.pinned  # noqa: F401
    from dovetail.backend.loader import registry
    from dovetail.backend.meta import backend as meta

    registry.register("meta", meta, indexed=False)
    registry.watch(_forget_devices)


def _forget_devices() -> None:
    """A backend came or went: nothing resolved for it may be used again."""
    from dovetail import page_locked
    from dovetail.backend import state
    from dovetail.backend.loader import HOST, registry
    from dovetail.device_methods import attach
    from dovetail.dispatch import clear_plans
    from dovetail.factories import clear_factory_plans
    from dovetail.spec import forget_specs

    there = {HOST, *registry.known()}
    state.clear_states()
    page_locked.empty_cache()
    clear_plans()
    clear_factory_plans()
    forget_specs(lambda device: device.type not in there)
    attach()


_start()


_MODULES = (
    "amp", "ao", "autograd", "backend", "backends", "compiler", "debug", "distributions", "fft",
    "fixed_point", "func", "jit", "linalg", "nn", "optim", "quantization", "quantized", "random",
    "return_types", "serialization", "signal", "special", "testing", "utils", "version",
)  # fmt: skip

_ELSEWHERE = {
    "capabilities": "capability",
    **dict.fromkeys(
        ("get_num_interop_threads", "get_num_threads", "set_num_interop_threads",
         "set_num_threads"), "threads",
    ),
    **dict.fromkeys(
        ("are_deterministic_algorithms_enabled", "get_deterministic_debug_mode",
         "is_deterministic_algorithms_warn_only_enabled", "set_deterministic_debug_mode",
         "use_deterministic_algorithms"), "determinism",
    ),
    "AcceleratorError": "errors", "get_device_module": "device_modules",
    "is_warn_always_enabled": "warning", "set_warn_always": "warning",
    "set_default_tensor_type": "legacy", "layout": "tensor",
    "Event": "streams", "OutOfMemoryError": "errors", "Stream": "streams",
    "vmap": "func", "compile": "compiler",
    "bartlett_window": "signal.spectral_windows", "blackman_window": "signal.spectral_windows",
    "hamming_window": "signal.spectral_windows", "hann_window": "signal.spectral_windows",
    "kaiser_window": "signal.spectral_windows",
    **dict.fromkeys(
        ("GradScaler", "autocast", "autocast_decrement_nesting", "autocast_increment_nesting",
         "clear_autocast_cache", "get_autocast_cpu_dtype", "get_autocast_dtype",
         "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled",
         "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
         "set_autocast_dtype", "set_autocast_enabled"), "amp",
    ),
    "empty_permuted": "rare_factories", "from_dlpack": "dlpack", "to_dlpack": "dlpack",
    "typename": "facts", "is_storage": "facts",
    "get_float32_matmul_precision": "backends", "set_float32_matmul_precision": "backends",
    "load": "serialization", "save": "serialization",
    "fused_moving_avg_obs_fake_quant": "ao.quantization.fake_quantize",
    "qint8": "dtypes", "qint32": "dtypes", "quint8": "dtypes",
    **dict.fromkeys(
        ("dequantize", "int_repr", "per_channel_affine", "per_channel_affine_float_qparams",
         "per_channel_symmetric", "per_tensor_affine", "per_tensor_symmetric",
         "q_per_channel_axis", "q_per_channel_scales", "q_per_channel_zero_points", "q_scale",
         "q_zero_point", "qscheme", "quantize_per_channel", "quantize_per_tensor",
         "quantize_per_tensor_dynamic", "_empty_affine_quantized",
         "_empty_per_channel_affine_quantized", "_make_per_channel_quantized_tensor",
         "_make_per_tensor_quantized_tensor"), "quantized",
    ),
}  # fmt: skip
"""Names that few programs need, and the modules that have them."""


_FUNCTIONAL = """
adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d binary_cross_entropy_with_logits
channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
cosine_embedding_loss cosine_similarity group_norm hinge_embedding_loss instance_norm
kl_div layer_norm margin_ranking_loss max_pool1d max_pool2d max_pool3d pairwise_distance
pixel_shuffle pixel_unshuffle poisson_nll_loss rms_norm rrelu rrelu_ triplet_margin_loss
""".split()  # noqa: SIM905 (a column of names reads worse)
"""Names of nn.functional that PyTorch has at its top level too."""


def __dir__() -> list[str]:
    own = [name for name in globals() if not name.startswith("_")]
    modules = [name for name in _MODULES if importlib.util.find_spec(f"dovetail.{name}")]
    return sorted({*__all__, *own, *ops.FUNCTIONS, *modules, *_ELSEWHERE, *_FUNCTIONAL})


def _module(name: str) -> Any:
    """A submodule; None where this installation has none of that name."""
    try:
        return importlib.import_module(f"dovetail.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"dovetail.{name}":  # it is there, and lacks something
            raise
        return None


def __getattr__(name: str) -> Any:
    found = ops.FUNCTIONS.get(name)
    if found is None and name in _MODULES:
        found = _module(name)
    if found is None and name in _ELSEWHERE:
        found = getattr(importlib.import_module(f"dovetail.{_ELSEWHERE[name]}"), name)
    if found is None and name == "range":
        from dovetail.rare_factories import range_inclusive as found
    if found is None and name == "_assert":
        from dovetail.facts import _assert as found
    if found is None and name in _FUNCTIONAL:
        found = getattr(importlib.import_module("dovetail.nn.functional"), name)
    if found is None and name.endswith("Tensor"):
        from dovetail.legacy import TYPES

        found = TYPES.get(name)
    if found is None and name == "accelerator":
        from dovetail.device_modules import accelerator as found
    if found is None and name == "default_generator":
        from dovetail import generator

        return generator.default_generator()
    if found is None:
        from dovetail.device_modules import module_for

        try:
            return module_for(name)
        except AttributeError:
            from dovetail.near_names import AbsentName

            raise AbsentName("dovetail", name) from None
    globals()[name] = found
    return found
