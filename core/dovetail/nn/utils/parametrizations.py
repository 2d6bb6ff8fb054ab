"""Ready parametrizations (``torch.nn.utils.parametrizations``): orthogonal, and two norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.functional import normalize
from dovetail.nn.module import Module
from dovetail.nn.utils import parametrize
from dovetail.nn.utils.spectral_norm import output_dim, over_form
from dovetail.nn.utils.weight_norm import with_norm
from dovetail.ops.layers.spectral_norm_step import spectral_norm_step
from dovetail.ops.layers.weight_norm import as_matrix, norm_except_dim
from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from dovetail.tensor import Tensor as TensorType

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_MAPS = ("matrix_exp", "cayley", "householder")


def _is_orthogonal(q: Any) -> bool:
    n, k = q.shape[-2:]
    identity = dovetail.eye(k, dtype=q.dtype, device=q.device)
    close = dovetail.allclose(q.mH @ q, identity, atol=10.0 * n * dovetail.finfo(q.dtype).eps)
    return bool(close)


def _made_orthogonal(a: Any) -> Any:
    """The Q of the QR decomposition with a positive diagonal: uniform if ``a`` is random."""
    x, tau = dovetail.geqrf(a)
    q = dovetail.linalg.householder_product(x, tau)
    return q * x.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    base: TensorType | None

    def __init__(
        self, weight: Any, orthogonal_map: str, *, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        is_wide = x.shape[-2] < x.shape[-1]
        if is_wide:
            x = x.mT
        n, k = x.shape[-2:]
        q = self._by_reflections(x) if self.orthogonal_map == "householder" else self._skew(x, n, k)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if is_wide else q

    def _skew(self, x: Any, n: int, k: int) -> Any:
        """The matrix exponential, or Cayley's map, of a skew-symmetric matrix."""
        x = x.tril()
        if n != k:
            x = dovetail.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], dim=-1)
        a = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = dovetail.linalg.matrix_exp(a)
        else:
            identity = dovetail.eye(n, dtype=a.dtype, device=a.device)
            q = dovetail.linalg.solve(identity - a * 0.5, identity + a * 0.5)
        return q[..., :k] if n != k else q

    @staticmethod
    def _by_reflections(x: Any) -> Any:
        a = x.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (a * a).sum(dim=-2))
        q = dovetail.linalg.householder_product(a, tau)
        # The diagonal holds signs; int() cuts the gradient, which they have none of.
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    @dovetail.no_grad()
    def right_inverse(self, q: Any) -> Any:
        """What gives ``q``, or the orthogonal matrix nearest to it that is easily found."""
        if q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {q.shape}."
            )
        given = q
        is_wide = q.shape[-2] < q.shape[-1]
        if is_wide:
            q = q.mT
        if not hasattr(self, "base"):
            return self._reflections_of(q, is_wide)
        n, k = q.shape[-2:]
        if n != k:
            more = dovetail.randn(*q.shape[:-2], n, n - k, dtype=q.dtype, device=q.device)
            q = _made_orthogonal(dovetail.cat([q, more], dim=-1))
        else:
            q = q.clone() if _is_orthogonal(q) else _made_orthogonal(q)
        self.base = q
        # Of this every map makes the identity: nothing but zeros below the diagonal, and the signs
        # of the reflections that zeros stand for taken back.
        start = dovetail.zeros_like(given)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start

    def _reflections_of(self, q: Any, is_wide: bool) -> Any:
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley "
                "parametrizations when use_trivialization=False."
            )
        a, tau = dovetail.geqrf(q)
        diagonal = a.diagonal(dim1=-2, dim2=-1)
        signs = diagonal.sign()
        diagonal.copy_(dovetail.where(tau == 0.0, -signs, signs))
        return a.mT if is_wide else a


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix orthogonal (unitary if complex); of a rectangle the rows or the columns are.

    Args:
        module: what has the parameter; it is changed and returned.
        name: the parameter's name, (*, m, n).
        orthogonal_map: ``matrix_exp``, ``cayley`` or ``householder``; None: the first for square
            or complex matrices, else the last.
        use_trivialization: optimise the change since the last assignment (Lezcano-Casado, 2019).

    Raises:
        ValueError: no such parameter, fewer than two dims, an unknown map, or complex reflections.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        is_square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if is_square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    entry = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, entry, unsafe=True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return with_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> Any:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a parameter be a length (``original0``) times a direction (``original1``).

    Args:
        module: what has the parameter; it is changed and returned.
        name: the parameter's name.
        dim: the dim that keeps norms of its own; None: one norm for all.

    State dicts of the older ``nn.utils.weight_norm`` can be loaded.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{i}"
                state_dict[new] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    _u: TensorType
    _v: TensorType

    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but "
                f"got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            u, v = (matrix.new_empty(size).normal_(0, 1) for size in matrix.shape)
            self.register_buffer("_u", normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", normalize(v, dim=0, eps=eps))
            self._improve(matrix, 15)

    @dovetail.no_grad()
    def _improve(self, matrix: Any, steps: int) -> None:
        """Steps of the power method, in place."""
        u: Any = self._u
        v: Any = self._v
        for _ in range(steps):
            u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
            v.copy_(normalize(matrix.mH.mv(u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        kept = None
        if self.training:
            steps = self.n_power_iterations
            kept = spectral_norm_step(
                weight, self._u, self._v, dim=self.dim, steps=steps, eps=self.eps, is_u_first=True
            )
            if kept is None:
                self._improve(as_matrix(weight, self.dim), steps)
        # The next forward writes to the buffers; backward needs them as they are.
        u, v = kept or (self._u.clone(), self._v.clone())
        return over_form(weight, u.conj(), v, self.dim)

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its largest singular value.

    Args:
        module: what has the parameter; it is changed and returned.
        name: the parameter's name.
        n_power_iterations: steps of the power method per read in training mode.
        eps: the smallest norm that is divided by.
        dim: the dim that becomes the matrix's rows; None: the one that counts outputs.

    Raises:
        IndexError: ``dim`` is out of range.
        ValueError: no such parameter, or no iterations.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    rows = output_dim(module) if dim is None else dim
    entry = _SpectralNorm(weight, n_power_iterations, rows, eps)
    return parametrize.register_parametrization(module, name, entry)
