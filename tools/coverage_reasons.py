"""Why a documented name of PyTorch's has no counterpart: the first row that fits a name decides."""

from __future__ import annotations

__all__ = ["PLANNED", "REASONS"]

PLANNED = "planned"

REASONS: tuple[tuple[str, str, str], ...] = (
    (
        "quantized numbers",
        ".*",
        r"dequantize|fake_quantize_.*|qu?int\d+(x\d+)?|quint.*|quantized?_.*|int_repr|q_.*|qscheme",
    ),
    (
        "sparse layouts",
        ".*",
        r"(to_)?sparse.*|is_sparse_.*|(is_)?coalesced?|((col|crow)_)?indices(_copy)?|"
        r"values(_copy)?|h?s?smm|hspmm|sspaddmm|to_dense|SparseAdam",
    ),
    ("symbolic shapes", ".*", r"sym_.*|Sym(Int|Float|Bool)"),
    (
        "scripting and compiling",
        r"torch(\.func|\.accelerator|\.utils\.checkpoint|\.autograd\.graph|\.Tensor)?",
        r"ScriptFunction|cond|functionalize|debug_unwrap|AggregationType|Tag|DispatchKey|"
        r"Graph|GraphExecGroup|set_override_stale_capture_stream|hash_tensor|"
        r"(?!index_|narrow_)\w+_copy",
    ),
    ("scaled products of 8 and 4 bits", ".*", r"scaled_.*mm|grouped_mm|ScalingType|SwizzleType"),
    ("typed storages", ".*", r"storage(_type)?|is_storage|.*Storage"),
    (
        "dtypes that no device here computes in",
        ".*",
        r"bit|float[48]_.*|u?int[1-7]|bits.*|uint(16|32|64)|chalf|complex32",
    ),
    (
        "libraries and devices of PyTorch's own",
        ".*",
        r"has_(mkl|openmp|lapack|spectral)|set_flush_denormal|(is_)?(ipu|mps|mtia|xla|xpu)|to_mkldnn",
    ),
    ("nested tensors", ".*", "to_padded_tensor"),
    ("several processes", ".*", "share_memory_|DistributedSampler|SyncBatchNorm|from_file"),
    ("data pipes", r"torch\.utils\.data", ".*DataPipe"),
    (
        "PyTorch's own inner workings",
        ".*",
        r"init_num_threads|thread_safe_generator|set_multithreading_enabled|NestedIOFunction|"
        r"enforce_grad_layout_policy|set_warn_on_accumulate_.*|has_torch_function.*|"
        r"boolean_dispatch|DefaultDeviceType|SAC_IGNORED_OPS|AVG|SUM|const_data_ptr|grad_dtype|"
        r"region_activation_.*",
    ),
)
"""``(reason, pattern of namespaces, pattern of names)``; what no row fits is :data:`PLANNED`."""
