"""Transforms of functions: ``grad``, ``vjp``, ``jvp``, ``vmap`` and what is made of them.

Names and meanings follow PyTorch's ``torch.func``; they nest in any order. How it is done is told
in ``docs/decisions/function-transforms.md``.
"""

from __future__ import annotations

from dovetail.func.derivatives import grad, grad_and_value, jvp, linearize, vjp
from dovetail.func.functional_call import functional_call, stack_module_state
from dovetail.func.jacobians import hessian, jacfwd, jacrev
from dovetail.func.vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
