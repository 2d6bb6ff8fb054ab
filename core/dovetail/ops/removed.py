"""Functions that PyTorch has removed: they say what to call instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.ops.expose import FUNCTIONS
from dovetail.tensor import Tensor

__all__: list[str] = []

_INSTEAD = {
    "symeig": "linalg.eigh(A, UPLO='U' if upper else 'L'), or linalg.eigvalsh for the values alone",
    "eig": "linalg.eig(A), which is complex, or linalg.eigvals for the values alone",
    "lstsq": "linalg.lstsq(A, B).solution, which has its arguments in the other order",
    "solve": "linalg.solve(A, B), which has its arguments in the other order",
    "matrix_rank": "linalg.matrix_rank(A, hermitian=symmetric)",
}


def _gone(name: str, instead: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"{name}: This function was deprecated since version 1.9 and is now removed. Use "
            f"{instead}."
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed: raises RuntimeError. Use ``{instead}``."
    return function


for _name, _instead in _INSTEAD.items():
    FUNCTIONS[_name] = _gone(_name, _instead)
    if _name != "matrix_rank":
        setattr(Tensor, _name, FUNCTIONS[_name])
