"""Objects to put into files, made by either library, and their comparison."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import numpy as np

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128",
)  # fmt: skip


def every_dtype(torch: Any) -> Any:
    return {name: torch.arange(7).to(getattr(torch, name)) for name in DTYPES}


def views(torch: Any) -> Any:
    base = torch.arange(12.0).reshape(3, 4)
    return [base, base[1:], base.t(), base[:, ::2], base[1, 2], base.expand(2, 3, 4), base.data]


def shapes(torch: Any) -> Any:
    return [torch.tensor(3), torch.ones(0, 3), torch.ones(1, 1, 1), torch.ones(2, 3).t()]


def two_dtypes(torch: Any) -> Any:
    return [torch.ones(2, dtype=torch.complex64), torch.zeros(3, dtype=torch.uint8)]


def gradients(torch: Any) -> Any:
    leaf = torch.ones(2, requires_grad=True)
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    return [leaf, leaf * 2, torch.nn.Parameter(torch.ones(3)), frozen]


def attributes(torch: Any) -> Any:
    x, p = torch.ones(2), torch.nn.Parameter(torch.ones(1))
    x.note, p.note = "kept", [1, 2]
    return [x, p, x]


def plain(torch: Any) -> Any:
    numbers = [0, 1, -1, 255, 65536, 2**31, -(2**40), 2**70, 1.5, float("inf"), 1j]
    strings = ["", "é", "\U0001f600", "a" * 300, "\ud800", b"\x00\xff" * 200, bytearray(b"ab")]
    shared = [1]
    containers: list[Any] = [(), (1,), (1, 2, 3, 4), [], {}, set(), {1, 2}, {"a": {(1, "b"): [2]}}]
    containers += [OrderedDict(b=1, a=2), Counter("aab"), None, True, False, shared, shared]
    return [numbers, strings, containers]


def plainer(torch: Any) -> Any:
    """What PyTorch's allow-list does not read, although its protocol has it."""
    return [b"", 2**2100, frozenset({1}), bytearray()]


def facts(torch: Any) -> Any:
    devices = [torch.device("cpu"), torch.device("meta"), torch.device("cuda", 1)]
    meta = torch.ones(2, 3, device="meta")
    return [torch.Size([2, 3]), torch.Size([]), devices, torch.float16, torch.strided, meta]


def network(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())


def state_dict(torch: Any) -> Any:
    torch.manual_seed(0)
    return network(torch).state_dict()


def training(torch: Any, optimizer: str = "Adam", **options: Any) -> Any:
    """A whole checkpoint after two steps."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    steps = getattr(torch.optim, optimizer)(model.parameters(), **{"lr": 0.1, **options})
    for _ in range(2):
        steps.zero_grad()
        model(torch.ones(4, 3)).sum().backward()
        steps.step()
    return {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": steps.state_dict(),
        "best": {"loss": 0.25, "history": [(1, 0.5), (2, 0.25)]},
        "parameters": list(model.parameters()),
    }


def momentum(torch: Any) -> Any:
    return training(torch, "SGD", momentum=0.9)


def adamw(torch: Any) -> Any:
    return training(torch, "AdamW", amsgrad=True)


OBJECTS = (
    every_dtype, views, shapes, two_dtypes, gradients, attributes, plain, facts, state_dict,
    training, momentum, adamw,
)  # fmt: skip


def facts_of(x: Any) -> Any:
    """An object of either library as values that can be compared, tensors with all their facts."""
    kind = type(x)
    if hasattr(x, "storage_offset"):
        is_parameter = kind.__name__ == "Parameter"
        known = [str(x.dtype), tuple(x.shape), x.stride(), x.storage_offset(), x.requires_grad]
        hung = {k: v for k, v in x.__dict__.items() if not hasattr(kind, k)}
        return ("tensor", is_parameter, str(x.device), *known, _bytes(x), sorted(hung.items()))
    if isinstance(x, dict):
        pairs = [(facts_of(k), facts_of(v)) for k, v in x.items()]
        return kind.__name__, pairs, facts_of(getattr(x, "_metadata", None))
    if isinstance(x, (list, tuple)):
        return kind.__name__, [facts_of(item) for item in x]
    if kind.__module__.split(".")[0] in ("torch", "dovetail"):
        return kind.__name__, str(x)
    return kind.__name__, x


def _bytes(x: Any) -> bytes:
    """The elements, in order; of a storage's type that NumPy may not have."""
    if str(x.device) == "meta":
        return b""
    x = x.detach().contiguous().reshape(-1)
    if not x.numel():
        return b""
    if not hasattr(x, "_spec"):  # PyTorch's
        import torch

        return bytes(x.view(torch.uint8).numpy())
    return x.numpy().view(np.uint8).tobytes()


def sharing(x: Any) -> list[int]:
    """For each tensor in a list, the number of the first that lies in the same storage."""
    pointers = [item.untyped_storage().data_ptr() for item in x]
    return [pointers.index(pointer) for pointer in pointers]
