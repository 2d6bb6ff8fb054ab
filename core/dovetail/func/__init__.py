"""Transforms of functions: ``grad``, ``vjp``, ``jvp``, ``vmap`` and what is made of them.

Names and meanings follow PyTorch's ``torch.func``; they nest in any order. How it is done is told
in ``docs/decisions/function-transforms.md``.
"""

from __future__ import annotations

from dovetail.func import custom, plans, randomness, views  # noqa: F401 (they bind BATCHED)
from dovetail.func.batched import debug_unwrap
from dovetail.func.derivatives import (
    grad,
    grad_and_value,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from dovetail.func.functional_call import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from dovetail.func.functionalize import functionalize
from dovetail.func.jacobians import hessian, jacfwd, jacrev
from dovetail.func.vmap import vmap

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
