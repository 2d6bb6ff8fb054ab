"""Names that programs import from deep inside PyTorch, beside PyTorch's own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import standing_in
from dovetail.nn import modules

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

LAYERS = sorted(set(torch.nn.modules.__all__) & set(dt.nn.__all__))


def test_layers_are_in_pytorchs_files() -> None:
    there = {name: getattr(torch.nn, name).__module__.rpartition(".")[2] for name in LAYERS}
    there.pop("LinearCrossEntropyOptions", None)
    for name, file in there.items():
        assert getattr(getattr(dt.nn.modules, file), name) is getattr(dt.nn, name), (name, file)
    assert {n for names in modules._FILES.values() for n in names.split()} == set(there)


BASES = [(file, name) for file, names in modules._BASES.items() for name in names]


@pytest.mark.parametrize(("file", "name"), BASES)
def test_base_classes(file: str, name: str) -> None:
    """The same layers are of this kind."""
    theirs = getattr(importlib.import_module(f"torch.nn.modules.{file}"), name)
    mine = getattr(importlib.import_module(f"dovetail.nn.modules.{file}"), name)
    for layer in LAYERS:
        expected = issubclass(getattr(torch.nn, layer), theirs)
        assert issubclass(getattr(dt.nn, layer), mine) == expected, layer


@pytest.mark.parametrize("name", ["_single", "_pair", "_triple", "_quadruple"])
@pytest.mark.parametrize("value", [3, (1, 2), [4], "ab", 1.5])
def test_tuples(name: str, value: Any) -> None:
    mine, theirs = (getattr(lib.nn.modules.utils, name)(value) for lib in (dt, torch))
    assert mine == theirs


def test_more_utilities() -> None:
    for lib in (dt, torch):
        utils = lib.nn.modules.utils
        assert utils._ntuple(2, "size")(7) == (7, 7)
        assert utils._ntuple(2, "size").__name__ == "size"
        assert utils._reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
        state = OrderedDict({"module.a": 1, "b.module.": 2, "module.c.d": 3})
        state._metadata = OrderedDict({"": 0, "module": 1, "module.c": 2, "b": 3})  # type: ignore[attr-defined]
        utils.consume_prefix_in_state_dict_if_present(state, "module.")
        assert dict(state) == {"a": 1, "b.module.": 2, "c.d": 3}
        # What is left of the prefix itself is the model.
        assert dict(state._metadata) == {"": 1, "c": 2, "b": 3}  # type: ignore[attr-defined]


def test_fans() -> None:
    for shape in ((3, 4), (8, 2, 3, 5)):
        x = np.zeros(shape, np.float32)
        mine, theirs = (
            (
                lib.nn.init._calculate_fan_in_and_fan_out(lib.from_numpy(x)),
                lib.nn.init._calculate_correct_fan(lib.from_numpy(x), "fan_out"),
            )
            for lib in (dt, torch)
        )
        assert mine == theirs


def outcome(run: Any) -> Any:
    try:
        return run()
    except Exception as error:
        return type(error), str(error)


VARIABLES = {
    "a leaf of its own": lambda lib, x: (
        lib.autograd.Variable(x) is x, lib.autograd.Variable(x).requires_grad,
        lib.autograd.Variable(x).data_ptr() == x.data_ptr(),
        lib.autograd.Variable(x * 2, requires_grad=True).is_leaf,
    ),
    "every tensor": lambda lib, x: isinstance(x, lib.autograd.Variable),
    "nothing else": lambda lib, x: isinstance([1.0], lib.autograd.Variable),
    "nothing": lambda lib, x: tuple(lib.autograd.Variable().shape),
    "a list": lambda lib, x: lib.autograd.Variable([1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
def test_variables(name: str) -> None:
    mine, theirs = (
        outcome(lambda lib=lib: VARIABLES[name](lib, lib.ones(2, requires_grad=True)))
        for lib in (dt, torch)
    )
    assert mine == theirs


def test_variable_of_integers() -> None:
    for lib in (dt, torch):
        with pytest.raises(RuntimeError):
            lib.autograd.Variable(lib.arange(2), True)


def test_precision_of_products() -> None:
    def run(lib: Any) -> Any:
        before = lib.get_float32_matmul_precision()
        lib.set_float32_matmul_precision("medium")
        found = before, lib.get_float32_matmul_precision(), lib.backends.cuda.matmul.allow_tf32
        lib.set_float32_matmul_precision("highest")
        return *found, lib.backends.cuda.matmul.allow_tf32

    assert run(dt) == run(torch)
    with pytest.warns(UserWarning, match="got 'low'; the call has no effect"):
        dt.set_float32_matmul_precision("low")


@pytest.mark.filterwarnings("ignore:.*sdp_kernel")
def test_kernels_of_attention() -> None:
    def run(lib: Any, choice: Any) -> Any:
        attention = importlib.import_module(f"{lib.__name__}.nn.attention")
        members = {name: int(value) for name, value in attention.SDPBackend.__members__.items()}
        if isinstance(choice, list):
            choice = [getattr(attention.SDPBackend, name) for name in choice]
        with attention.sdpa_kernel(choice), lib.backends.cuda.sdp_kernel(enable_math=True):
            x = lib.ones(1, 1, 2, 2)
            made = lib.nn.functional.scaled_dot_product_attention(x, x, x).tolist()
        return members, made

    for choice in (["MATH"], ["FLASH_ATTENTION", "MATH"], "MATH"):
        mine, theirs = (
            outcome(lambda lib=lib, choice=choice: run(lib, choice)) for lib in (dt, torch)
        )
        assert mine == theirs


PROGRAM = """
import torch
import torch.nn as nn
from torch import jit
from torch.autograd import Variable
from torch.cuda.amp import GradScaler, autocast
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair
from torch.optim.lr_scheduler import _LRScheduler


class Halving(_LRScheduler):
    def get_lr(self):
        return [lr * 0.5**self.last_epoch for lr in self.base_lrs]


class Net(nn.Module):
    sizes: jit.Final[int] = 2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, _pair(3))
        self.norm = nn.BatchNorm2d(2)

    @jit.ignore
    def name(self):
        return "net"

    @jit.ignore(drop=True)
    def other(self):
        return "other"

    @jit.unused
    def third(self):
        return jit.is_scripting()

    @jit.export
    def forward(self, x):
        return square(self.norm(self.conv(x)))


@jit.script
def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


torch._assert(torch.ones(1) > 0, "is true")
assert tuple(int(n) for n in torch.__version__.split(".")[:2]) >= (2, 0), torch.__version__
net = Net()
found = [m for m in net.modules() if isinstance(m, (_BatchNorm, nn.modules.conv._ConvNd))]
optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
schedule = Halving(optimizer)
scaler = GradScaler(enabled=torch.cuda.is_available() and False)
for _ in range(2):
    with autocast(enabled=False):
        loss = net(Variable(torch.ones(2, 1, 4, 4))).mean()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    schedule.step()
print(len(found), optimizer.param_groups[0]["lr"], net.name(), net.other(), net.third())
print(torch.version.cuda, isinstance(loss, Variable), jit.annotate(int, 3), jit.is_tracing())
"""


def test_a_program_with_all_of_them(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    texts = []
    for lead in ([], ["-m", "dovetail.torch"]):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *lead, str(script)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
    assert texts[0] == texts[1]


def test_the_release_is_the_one_compared_with() -> None:
    assert torch.__version__.split("+")[0] == standing_in.RELEASE


def test_a_false_assertion() -> None:
    for lib in (dt, torch):
        with pytest.raises(AssertionError, match="no"):
            lib._assert(lib.zeros(1) > 0, "no")
