"""What a backend author imports, and the only thing: the contract, the hooks, and the tools.

The contract: ``Backend Runtime KernelTable Kernel DeviceInfo hookimpl CONTRACT_VERSION`` and the
errors. Tools: ``Pool`` (scratch memory for kernels), ``StridedView broadcast collapse
needs_64_bit`` (raw buffers), ``EXPRESSIONS elementwise_source Dialect`` (kernels from source),
``random_words`` (what ``random_bits`` must write), ``are_deterministic_algorithms_enabled``
(plans are made anew when that changes), ``Forked`` (in place of handles after a fork).

A backend package declares an entry point of group ``dovetail.backends``, named as its device, that
points at a module or object with hooks::

    from dovetail.backend import Backend, hookimpl

    @hookimpl
    def dovetail_backend():
        return Backend(MyRuntime(), version="1.0", contract=(1, 0))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dovetail.backend.allocator import Pool
from dovetail.backend.api import (
    CONTRACT_VERSION,
    Backend,
    DeviceInfo,
    Kernel,
    KernelTable,
    Layout,
    Runtime,
)
from dovetail.backend.loader import GROUP, Loaded, Record, Registry, fallback_policy, registry
from dovetail.errors import (
    AcceleratorError,
    BackendUnavailable,
    ContractVersionError,
    OutOfMemoryError,
    Unsupported,
)

if TYPE_CHECKING:
    from dovetail.backend.dialect import C99, Dialect
    from dovetail.backend.expressions import EXPRESSIONS, POWERS, Expression, Refusal
    from dovetail.backend.forked import Forked, forked_text
    from dovetail.backend.hookspecs import hookimpl
    from dovetail.backend.source import (
        Form,
        elementwise_source,
        form_of,
        kernel_name,
        pack_width,
        program_source,
    )
    from dovetail.backend.strided import Loops, StridedView, broadcast, collapse, needs_64_bit
    from dovetail.composed import composable, composed
    from dovetail.determinism import are_deterministic_algorithms_enabled
    from dovetail.philox import random_words

__all__ = [
    "C99",
    "CONTRACT_VERSION",
    "EXPRESSIONS",
    "GROUP",
    "POWERS",
    "AcceleratorError",
    "Backend",
    "BackendUnavailable",
    "ContractVersionError",
    "DeviceInfo",
    "Dialect",
    "Expression",
    "Forked",
    "Form",
    "Kernel",
    "KernelTable",
    "Layout",
    "Loaded",
    "Loops",
    "OutOfMemoryError",
    "Pool",
    "Record",
    "Refusal",
    "Registry",
    "Runtime",
    "StridedView",
    "Unsupported",
    "are_deterministic_algorithms_enabled",
    "broadcast",
    "collapse",
    "composable",
    "composed",
    "elementwise_source",
    "fallback_policy",
    "forked_text",
    "form_of",
    "hookimpl",
    "kernel_name",
    "needs_64_bit",
    "pack_width",
    "program_source",
    "random_words",
    "registry",
    "stepwise",
]


_ELSEWHERE = {
    "dovetail.backend.hookspecs": ("hookimpl",),  # pluggy comes with the first plugin
    "dovetail.backend.strided": (
        "Loops", "StridedView", "broadcast", "collapse", "needs_64_bit",
    ),
    "dovetail.backend.expressions": ("EXPRESSIONS", "POWERS", "Expression", "Refusal"),
    "dovetail.composed": ("composable", "composed"),
    "dovetail.stepwise": ("KernelCall", "Stepwise", "stepwise"),
    "dovetail.backend.dialect": ("C99", "Dialect"),
    "dovetail.backend.source": (
        "Form", "elementwise_source", "form_of", "kernel_name", "pack_width", "program_source",
    ),
    "dovetail.determinism": ("are_deterministic_algorithms_enabled",),
    "dovetail.backend.forked": ("Forked", "forked_text"),
    "dovetail.philox": ("random_words",),
}  # fmt: skip
"""What only some backends need, by the module that has it."""


def __getattr__(name: str) -> Any:
    module = next((m for m, names in _ELSEWHERE.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(module), name)
    globals()[name] = found
    return found
