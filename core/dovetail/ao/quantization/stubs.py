"""Where a model's numbers become integers and where they become numbers again."""

from __future__ import annotations

from typing import Any

from dovetail.nn.module import Module
from dovetail.tensor import Tensor

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]


class QuantStub(Module):
    """Passes its input; ``prepare`` watches it, ``convert`` makes it a ``Quantize``.

    Args:
        qconfig: how; the parent's where None.
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x


class DeQuantStub(Module):
    """Passes its input; ``convert`` makes it a ``DeQuantize``.

    Args:
        qconfig: the parent's where None.
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x


class QuantWrapper(Module):
    """A module between the two.

    Args:
        module: what is wrapped; its ``qconfig`` is the stubs' too.
    """

    quant: QuantStub
    dequant: DeQuantStub
    module: Module

    def __init__(self, module: Module) -> None:
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        self.add_module("quant", QuantStub(qconfig))
        self.add_module("dequant", DeQuantStub(qconfig))
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X: Tensor) -> Any:
        """Quantize, run, dequantize."""
        return self.dequant(self.module(self.quant(X)))
