"""Which operators autocast runs in lower precision, in float32, or in the widest dtype given.

PyTorch's lists: one for its CPU, and one that all of its accelerators share, which here is that of
every other device (``ATen/autocast_mode.h`` and the page "Automatic Mixed Precision package").
Names are those of records, or of functions that put several records together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "ACCELERATOR",
    "BY_FUNCTION",
    "CASTS",
    "HOST",
    "LOWER",
    "PLAIN",
    "PROMOTE",
    "WIDE",
    "WIDE_UNLESS_GIVEN",
]

LOWER = "lower"
"""In the dtype of the autocast block."""
WIDE = "wide"
"""In float32."""
WIDE_UNLESS_GIVEN = "wide unless given"
"""In float32 unless the caller states a ``dtype``."""
PROMOTE = "promote"
"""In the widest dtype among the arguments."""
PLAIN = "plain"
"""As without autocast, also inside."""

List = dict[str, str | Callable[[Mapping[str, Any]], str | None]]


def _listed(**names: str) -> List:
    made: List = {}
    for kind, text in names.items():
        made.update(dict.fromkeys(text.split(), kind.replace("_", " ")))
    return made


def _reflects(attributes: Mapping[str, Any]) -> str | None:
    """Of the ways of padding, those that read the input again."""
    return WIDE if attributes.get("mode") in ("reflect", "replicate") else None


_LOSSES = """
cosine_embedding_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss
multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
triplet_margin_loss binary_cross_entropy_with_logits
"""

_PRODUCTS = """
conv conv_relu conv_transpose prelu addmm addbmm baddbmm bmm chain_matmul linalg.multi_dot
linalg.vecdot linear linear_relu matmul mm scaled_dot_product_attention
"""

HOST = _listed(
    lower=_PRODUCTS + "einsum inner",
    wide=_LOSSES
    + """
    binary_cross_entropy cross_entropy ctc_loss prod cdist trace quantile nanquantile polar
    view_as_complex grid_sample avg_pool3d max_pool3d adaptive_avg_pool3d adaptive_max_pool3d
    fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d stft istft
    cholesky cholesky_inverse cholesky_solve inverse pinverse geqrf orgqr ormqr qr svd
    triangular_solve lu_solve
    fft.fft fft.ifft fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfft2 fft.irfft2
    fft.rfftn fft.irfftn fft.hfft fft.ihfft
    linalg.cholesky linalg.cholesky_ex linalg.cond linalg.eig linalg.eigh linalg.eigvals
    linalg.eigvalsh linalg.householder_product linalg.inv linalg.inv_ex linalg.lstsq
    linalg.matrix_rank linalg.pinv linalg.qr linalg.solve linalg.solve_ex linalg.svd
    linalg.svdvals linalg.tensorinv linalg.tensorsolve
    """,
    promote="cat stack index_copy",
    plain="addmv addr bilinear dot mv tensordot vdot",
)
HOST["pad"] = _reflects

ACCELERATOR = _listed(
    lower=_PRODUCTS + "addmv addr einsum mv",
    wide=_LOSSES
    + """
    acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow softplus
    layer_norm rms_norm group_norm cosine_similarity cross_entropy dist pdist cdist renorm logsumexp
    interpolate
    """,
    wide_unless_given="""
    prod softmax log_softmax cumprod cumsum linalg.vector_norm linalg.matrix_norm vector_norm sum
    norm
    """,
    promote="""
    addcdiv addcmul atan2 bilinear cat cross linalg.cross dot vdot grid_sample index_put stack
    tensordot scatter_add
    """,
)

CASTS = frozenset({*HOST, *ACCELERATOR})
"""All of the names."""

BY_FUNCTION = frozenset({
    "binary_cross_entropy_with_logits", "cdist", "cosine_embedding_loss", "cross_entropy",
    "hinge_embedding_loss", "huber_loss", "index_copy", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "nanquantile", "pad", "poisson_nll_loss", "prelu", "quantile",
    "scaled_dot_product_attention", "soft_margin_loss", "trace", "triplet_margin_loss",
})  # fmt: skip
"""Records whose functions look at dtypes first, so that they are cast before these begin."""
