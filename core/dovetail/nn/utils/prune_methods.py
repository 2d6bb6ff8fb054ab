"""Ways of pruning, as classes (``torch.nn.utils.prune``): each computes a mask."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dovetail

if TYPE_CHECKING:
    from dovetail.nn.module import Module
    from dovetail.tensor import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
]


class BasePruningMethod(ABC):
    """A way of pruning; also the hook that computes the pruned parameter before each forward.

    A subclass sets ``PRUNING_TYPE`` (``unstructured``, ``structured`` or ``global``: what a second
    pruning leaves to it) and defines ``compute_mask``.
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for a tensor that is pruned by ``default_mask`` already."""

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned parameter: the kept one times its mask."""
        original = getattr(module, self._tensor_name + "_orig")
        made: Tensor = getattr(module, self._tensor_name + "_mask").to(original.dtype) * original
        return made

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune a parameter; where it is pruned already, what is left of it.

        Args:
            module: what has the parameter.
            name: the parameter's name.
            args: arguments of the class.
            importance_scores: what is compared instead of the parameter, of its shape.
            kwargs: arguments of the class.

        Raises:
            AssertionError: scores of another shape, or several hooks on the parameter.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        method = _joined(module, name, method)
        original = getattr(module, name)
        if importance_scores is None:
            importance_scores = original
        elif importance_scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {importance_scores.shape} vs {original.shape}"
            )
        is_first = not isinstance(method, PruningContainer)
        if is_first:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
            before: Any = dovetail.ones_like(original)
        else:
            before = getattr(module, name + "_mask").detach().clone()
        try:
            mask = method.compute_mask(importance_scores, default_mask=before)
            module.register_buffer(name + "_mask", mask)
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if is_first:
                module.register_parameter(name, module._parameters.pop(name + "_orig"))
            raise
        return method

    def prune(
        self, t: Any, default_mask: Any = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """``t`` times the mask for it.

        Raises:
            AssertionError: scores of another shape.
        """
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                "importance_scores should have the same shape as tensor t, got "
                f"{scores.shape} vs {t.shape}"
            )
        before = dovetail.ones_like(t) if default_mask is None else default_mask
        made: Tensor = t * self.compute_mask(scores, default_mask=before)
        return made

    def remove(self, module: Module) -> None:
        """Make the parameter an ordinary one again, with its zeros."""
        name = self._tensor_name
        weight: Any = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original: Any = module._parameters.pop(name + "_orig")
        original.data = weight.data
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


def _joined(module: Module, name: str, method: BasePruningMethod) -> BasePruningMethod:
    """The new method, in a container with the one there is; its hook is taken away."""
    found = [
        key
        for key, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]
    if not found:
        return method
    if len(found) > 1:
        raise AssertionError(
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. "
            "Use a PruningContainer."
        )
    old = module._forward_pre_hooks.pop(found[0])
    container = old if isinstance(old, PruningContainer) else PruningContainer(old)
    container.add_pruning_method(method)
    return container


class PruningContainer(BasePruningMethod):
    """Several prunings of one parameter, one after another.

    Args:
        args: the methods, which act on the same name.
    """

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add one more.

        Raises:
            TypeError: it is none.
            ValueError: it acts on another name.
        """
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with what the last method prunes of what is left.

        Raises:
            AttributeError: a structured method without ``dim``.
            IndexError: its dim is out of range.
            ValueError: an unknown ``PRUNING_TYPE``.
        """
        method = self._pruning_methods[-1]
        place = _left(method, t, default_mask)
        mask = default_mask.to(dtype=t.dtype, copy=True)
        part = method.compute_mask(t[place], default_mask=default_mask[place])
        mask[place] = part.to(dtype=mask.dtype)
        return mask


def _left(method: Any, t: Any, mask: Any) -> Any:
    """Where a method may prune: elements, or slices, that are not pruned yet."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return (slice(None),) * t.dim()
    if method.PRUNING_TYPE != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError(
            'Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.'
        )
    n, dim = t.dim(), method.dim
    if dim < 0:
        dim += n
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {n}")
    kept = mask.sum(dim=[d for d in range(n) if d != dim]) != 0
    return _slices(n, dim, kept)


def _slices(n: int, dim: int, index: Any) -> tuple[Any, ...]:
    made: list[Any] = [slice(None)] * n
    made[dim] = index
    return tuple(made)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    is_count = isinstance(amount, numbers.Integral)
    if amount < 0 or (not is_count and float(amount) > 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of ``size`` are pruned.

    Raises:
        ValueError: more than there are.
    """
    count = int(amount) if isinstance(amount, numbers.Integral) else round(amount * size)
    if count > size:
        raise ValueError(
            f"amount={count} should be smaller than the number of parameters to prune={size}"
        )
    return count


def _check_structured(t: Any, dim: int) -> None:
    if t.dim() <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of "
            f"shape {t.shape} with {t.dim()} dims"
        )
    if dim >= t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _only(t: Any, dim: int, index: Any, before: Any) -> Any:
    """Ones in some slices of what was left, zeros elsewhere."""
    mask = dovetail.zeros_like(t, requires_grad=False)
    mask[_slices(t.dim(), dim, index)] = 1
    return mask * before.to(dtype=mask.dtype)


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask as it is."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:  # type: ignore[override]
        """Make a parameter a pruned one."""
        return super().apply(module, name)


class _Unstructured(BasePruningMethod):
    """Prunes the elements that come first in some order."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount

    def _first(self, t: Any, count: int) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many more zeros."""
        count = _count(self.amount, t.numel())
        mask = default_mask.clone(memory_format=dovetail.contiguous_format)
        if count:
            mask.view(-1)[self._first(t, count)] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes elements at random.

    Args:
        amount: how many, or (a float) which part of those that are left.
    """

    def _first(self, t: Any, count: int) -> Any:
        return dovetail.rand_like(t).view(-1).topk(count).indices

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float
    ) -> BasePruningMethod:
        """Prune a parameter."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the elements of smallest absolute value.

    Args:
        amount: how many, or (a float) which part of those that are left.
    """

    def _first(self, t: Any, count: int) -> Any:
        return t.abs().reshape(-1).topk(count, largest=False).indices

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """Prune a parameter; ``importance_scores`` are compared in its place."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class RandomStructured(BasePruningMethod):
    """Prunes slices along a dim at random.

    Args:
        amount: how many slices, or (a float) which part of them.
        dim: the dim.
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many slices more of zeros."""
        _check_structured(t, self.dim)
        size = t.shape[self.dim]
        count = _count(self.amount, size)
        if not count:
            return default_mask
        draws = dovetail.rand(size)
        kept = draws > draws.kthvalue(count).values
        return _only(t, self.dim, kept.to(t.device), default_mask)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, dim: int = -1
    ) -> BasePruningMethod:
        """Prune a parameter."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(BasePruningMethod):
    """Prunes the slices of smallest norm along a dim.

    Args:
        amount: how many slices, or (a float) which part of them.
        n: the norm's order, as ``torch.norm`` takes it.
        dim: the dim.
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many slices more of zeros."""
        _check_structured(t, self.dim)
        size = t.shape[self.dim]
        count = _count(self.amount, size)
        if not count:
            return default_mask
        others = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        norms = dovetail.norm(t, p=self.n, dim=others)
        return _only(t, self.dim, norms.topk(size - count).indices, default_mask)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, n: Any, dim: int,
        importance_scores: Tensor | None = None,
    ) -> BasePruningMethod:  # fmt: skip
        """Prune a parameter; ``importance_scores`` are compared in its place."""
        return super().apply(
            module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores
        )


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask is 0.

    Args:
        mask: zeros and ones, of the parameter's shape.
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Both masks at once.

        Raises:
            AssertionError: they are of different shapes.
        """
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape "
                f"{self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, mask: Any
    ) -> BasePruningMethod:
        """Prune a parameter."""
        return super().apply(module, name, mask=mask)
