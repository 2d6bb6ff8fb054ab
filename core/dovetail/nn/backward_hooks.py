"""Full backward hooks of a module: gradients caught where they enter and leave the module.

An identity node is placed on the module's inputs and another on its outputs. The outputs' node
sees ``grad_output`` first; when the inputs' node has its gradients, the user's hooks run with both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.autograd.grad_mode import is_grad_enabled
from dovetail.tensor import Tensor
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovetail.nn.module import Module

__all__ = ["BackwardHook"]

_identity: Any = None


def _identity_function() -> Any:
    """The autograd function that returns its inputs (made at first use, autograd loads late)."""
    global _identity
    if _identity is None:
        from dovetail.autograd import Function

        class BackwardHookFunction(Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
                views = tuple(t.view(t.shape) for t in tensors)
                fixed = (v for v, t in zip(views, tensors, strict=True) if not t.requires_grad)
                ctx.mark_non_differentiable(*fixed)
                return views

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                return gradients

        _identity = BackwardHookFunction
    return _identity


class BackwardHook:
    """The backward hooks of one call of one module.

    Args:
        module: the module being called.
        hooks: ``hook(module, grad_input, grad_output)``, may return a new ``grad_input``.
        pre_hooks: ``hook(module, grad_output)``, may return a new ``grad_output``.
    """

    def __init__(
        self,
        module: Module,
        hooks: Sequence[Callable[..., Any]],
        pre_hooks: Sequence[Callable[..., Any]],
    ) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.input_count = self.output_count = 0
        self.input_places: list[int] | None = None  # where among the arguments the tensors are
        self.output_places: list[int] | None = None

    def wrap_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args`` with the tensors behind an identity node, if any of them needs a gradient."""
        self.input_count = len(args)
        args, self.input_places = self._wrap(args, self._inputs_hook)
        return args

    def wrap_outputs(self, result: Any) -> Any:
        """``result`` (a tensor or a tuple) with its tensors behind an identity node."""
        if not isinstance(result, (Tensor, tuple)):
            warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
            )
        is_tuple = isinstance(result, tuple)
        outputs = result if is_tuple else (result,)
        self.output_count = len(outputs)
        outputs, self.output_places = self._wrap(outputs, self._outputs_hook)
        return outputs if is_tuple else outputs[0]

    def _wrap(self, values: Any, hook: Callable[..., Any]) -> tuple[Any, list[int] | None]:
        places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
        if not (is_grad_enabled() and any(values[i].requires_grad for i in places)):
            return values, None
        wrapped = _identity_function().apply(*(values[i] for i in places))
        wrapped = wrapped if isinstance(wrapped, tuple) else (wrapped,)
        next(t.grad_fn for t in wrapped if t.grad_fn is not None).register_hook(hook)
        out = list(values)
        for place, tensor in zip(places, wrapped, strict=True):
            out[place] = tensor
        return (tuple(out) if type(values) is tuple else type(values)(*out)), places

    def _inputs_hook(self, grad_inputs: Any, _: Any) -> Any:
        if self.grad_outputs is None:
            # The gradient reached the inputs without passing the outputs (double backward).
            return None
        gradients = _spread(self.input_places, grad_inputs, self.input_count)
        for hook in self.hooks:
            replaced = hook(self.module, gradients, self.grad_outputs)
            if replaced is None:
                continue
            if len(replaced) != len(gradients):
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, "
                    f"got {len(replaced)}, but expected {len(gradients)}"
                )
            gradients = replaced
        self.grad_outputs = None
        return tuple(gradients[i] for i in self.input_places or ())

    def _outputs_hook(self, _: Any, grad_outputs: Any) -> Any:
        gradients = _spread(self.output_places, grad_outputs, self.output_count)
        for hook in self.pre_hooks:
            replaced = hook(self.module, gradients)
            if replaced is None:
                continue
            if len(replaced) != len(gradients):
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, "
                    f"got {len(replaced)}, but expected {len(gradients)}"
                )
            gradients = replaced
        self.grad_outputs = gradients
        if self.input_places is None:
            self._run_without_input_gradients()
        return tuple(gradients[i] for i in self.output_places or ())

    def _run_without_input_gradients(self) -> None:
        """No input needs a gradient: the hooks run once the outputs' gradients are known."""
        if self.hooks:
            warn(
                "Full backward hook is firing when gradients are computed with respect to module "
                "outputs since no inputs require gradients. See the page of "
                "torch.nn.Module.register_full_backward_hook for more details.",
            )
        for hook in self.hooks:
            replaced = hook(self.module, (None,) * self.input_count, self.grad_outputs)
            if replaced is not None and not (
                isinstance(replaced, tuple) and all(gradient is None for gradient in replaced)
            ):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients."
                )
        self.grad_outputs = None


def _spread(places: list[int] | None, values: Any, count: int) -> tuple[Any, ...]:
    """``values`` at ``places`` of a tuple of ``count``, None elsewhere."""
    out: list[Any] = [None] * count
    for place, value in zip(places or (), values, strict=True):
        out[place] = value
    return tuple(out)
