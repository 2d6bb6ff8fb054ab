"""``dovetail run`` and ``python -m dovetail.torch``: programs that say ``import torch``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import sys
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, TensorDataset
import torch.backends.cudnn as cudnn
import torch.cuda
import dovetail

cudnn.benchmark = True
with cudnn.flags(enabled=False):
    assert not cudnn.enabled
assert cudnn.enabled and not cudnn.is_available()
assert torch is dovetail and nn is dovetail.nn and torch.cuda is dovetail.cuda
assert nn.__spec__.name == "dovetail.nn"
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to(device)
data = DataLoader(TensorDataset(torch.randn(8, 4, device="cpu")), batch_size=4)
optimizer = optim.SGD(model.parameters(), lr=0.1)
for (x,) in data:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x.to(device)), torch.zeros(4, dtype=torch.long, device=device))
    loss.backward()
    optimizer.step()
where = torch.ones(2).cuda() if torch.cuda.is_available() else torch.ones(2)
print(__name__, sys.argv[1:], model[0].weight.device, torch.ones(1).device, where.device)
"""


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=cwd, timeout=120
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def test_a_script(folder: Path) -> None:
    done = run("-m", "dovetail.torch", "program.py", "a", "--b", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "__main__ ['a', '--b'] cpu cpu cpu\n"


def test_a_module_on_a_device(folder: Path, need_device: Any) -> None:
    need_device("loop")
    done = run("-m", "dovetail", "run", "--device", "loop:1", "-m", "program", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "dovetail run: cuda stands for loop:1 in this program\n"
    assert done.stdout == "__main__ [] loop:1 loop:1 loop:1\n"


def test_what_the_program_raises_is_shown(folder: Path) -> None:
    (folder / "program.py").write_text("import torch.fx\n")
    done = run("-m", "dovetail", "run", "program.py", cwd=folder)
    assert done.returncode == 1
    assert "No module named 'torch.fx': dovetail stands in for torch here" in done.stderr


@pytest.mark.parametrize("words", [("program.py",), ("-m", "program")])
def test_its_traceback_begins_with_the_program(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "program.py").write_text("import torch\ntorch.ones(2).sumn()\n")
    done = run("-m", "dovetail", "run", *words, cwd=folder)
    first, second, *_, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "program.py" in second
    assert last.endswith("has no attribute 'sumn'. Did you mean: 'sum'?")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [("", 0, ""), ("3", 3, ""), ("None", 0, ""), ("'bad config'", 1, "bad config\n")],
)
def test_it_exits_as_it_says(folder: Path, given: str, code: int, said: str) -> None:
    (folder / "program.py").write_text(f"import sys\nsys.exit({given})\n")
    done = run("-m", "dovetail", "run", "program.py", cwd=folder)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nothing.py",), "dovetail run: there is no script 'nothing.py'"),
        ((), "dovetail run: there is no program to run; see `dovetail run --help`"),
        (("--device", "tpu", "program.py"), "dovetail run: Expected one of "),
    ],
)
def test_mistakes(folder: Path, words: tuple[str, ...], sentence: str) -> None:
    done = run("-m", "dovetail", "run", *words, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_an_unknown_device_says_how_one_comes_in(folder: Path) -> None:
    done = run("-m", "dovetail", "run", "--device", "tpu", "program.py", cwd=folder)
    assert "come in with their plugins: install one" in done.stderr


def test_torch_may_not_be_there_already(folder: Path) -> None:
    code = (
        "import sys, types; sys.modules['torch'] = types.ModuleType('torch')\n"
        "from dovetail.standing_in import stand_in_for_torch\nstand_in_for_torch()"
    )
    done = run("-c", code, cwd=folder)
    assert "RuntimeError: torch has been imported in this process already" in done.stderr


def test_a_vendors_module_is_the_plugins(folder: Path, need_device: Any) -> None:
    need_device("loop")
    (folder / "program.py").write_text(
        "import torch\nimport torch_loop\nprint(torch_loop.__name__, torch.ones(2).to('loop'))\n"
        "try:\n    import torch_nothing\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    done = run("-m", "dovetail.torch", "program.py", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "dovetail_loopback tensor([1., 1.], device='loop:0')\nNo module named 'torch_nothing'\n"
    )
