"""Special functions, under PyTorch's names (``torch.special``).

Each is an operator: it takes ``out=``, and has the gradients that PyTorch's has. Those that PyTorch
has at its top level too are the same functions there (:func:`dovetail.lgamma` is ``gammaln``).

Example:
    >>> import dovetail as dt
    >>> dt.special.erfcx(dt.tensor([0.0, 1.0, 10.0]))
    tensor([1.0000, 0.4276, 0.0561])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import ops

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
    "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma",
    "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc",
    "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e",
    "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy",
    "zeta",
]  # fmt: skip

_ALIASES = {
    "expit": "sigmoid", "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma",
    "multigammaln": "mvlgamma", "psi": "digamma",
}  # fmt: skip


def _public(name: str) -> Callable[..., Any]:
    name = _ALIASES.get(name, name)
    found = ops.FUNCTIONS.get(name)
    if found is None:
        found = ops.REGISTRY[name].function
    assert found is not None
    return found


airy_ai = _public("airy_ai")
bessel_j0 = _public("bessel_j0")
bessel_j1 = _public("bessel_j1")
bessel_y0 = _public("bessel_y0")
bessel_y1 = _public("bessel_y1")
chebyshev_polynomial_t = _public("chebyshev_polynomial_t")
chebyshev_polynomial_u = _public("chebyshev_polynomial_u")
chebyshev_polynomial_v = _public("chebyshev_polynomial_v")
chebyshev_polynomial_w = _public("chebyshev_polynomial_w")
digamma = _public("digamma")
entr = _public("entr")
erf = _public("erf")
erfc = _public("erfc")
erfcx = _public("erfcx")
erfinv = _public("erfinv")
exp2 = _public("exp2")
expit = _public("expit")
expm1 = _public("expm1")
gammainc = _public("gammainc")
gammaincc = _public("gammaincc")
gammaln = _public("gammaln")
hermite_polynomial_h = _public("hermite_polynomial_h")
hermite_polynomial_he = _public("hermite_polynomial_he")
i0 = _public("i0")
i0e = _public("i0e")
i1 = _public("i1")
i1e = _public("i1e")
laguerre_polynomial_l = _public("laguerre_polynomial_l")
legendre_polynomial_p = _public("legendre_polynomial_p")
log1p = _public("log1p")
log_ndtr = _public("log_ndtr")
log_softmax = _public("log_softmax")
logit = _public("logit")
logsumexp = _public("logsumexp")
modified_bessel_i0 = _public("modified_bessel_i0")
modified_bessel_i1 = _public("modified_bessel_i1")
modified_bessel_k0 = _public("modified_bessel_k0")
modified_bessel_k1 = _public("modified_bessel_k1")
multigammaln = _public("multigammaln")
ndtr = _public("ndtr")
ndtri = _public("ndtri")
polygamma = _public("polygamma")
psi = _public("psi")
round = _public("round")
scaled_modified_bessel_k0 = _public("scaled_modified_bessel_k0")
scaled_modified_bessel_k1 = _public("scaled_modified_bessel_k1")
shifted_chebyshev_polynomial_t = _public("shifted_chebyshev_polynomial_t")
shifted_chebyshev_polynomial_u = _public("shifted_chebyshev_polynomial_u")
shifted_chebyshev_polynomial_v = _public("shifted_chebyshev_polynomial_v")
shifted_chebyshev_polynomial_w = _public("shifted_chebyshev_polynomial_w")
sinc = _public("sinc")
softmax = _public("softmax")
spherical_bessel_j0 = _public("spherical_bessel_j0")
xlog1py = _public("xlog1py")
xlogy = _public("xlogy")
zeta = _public("zeta")
