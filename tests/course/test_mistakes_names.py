"""Mistakes of spelling: M19, M26, M29 to M31, M44, M47, M50, M52, M54: what a student reads."""

from __future__ import annotations

import ast
from typing import Any

import pytest

import dovetail as dt
from dovetail.cli import doctor

from .mistakes import says

FIRST = "import dovetail as torch\nimport dovetail.nn as nn\n"

PROGRAMS = {
    "M19": "x = tf.placeholder(tf.float32, shape=(1,2))",
    "M26": "torch.util.data.DataLoader",
    "M29": "torch.optim.state_dict",
    "M30": "content_img = torch.zeros(1)\ninput_img = torch.randn(content_image.data.size())",
    "M31": "imgsize = 128\nsize = (imsz, imsz)",
    "M47": "class Model(torch.model): pass",
    "M49": "with torch.np_grad(): pass",
    "M54": "batch_size = 16\nbatch_size = batch_siz",
}
MENDED = {
    "M26": "print(torch.utils.data.DataLoader.__name__)",
    "M29": "print(torch.optim.Optimizer.state_dict.__name__)",
    "M30": "content_img = torch.zeros(1)\nprint(torch.randn(content_img.size()).shape)",
    "M31": "imgsize = 128\nsize = (imgsize, imgsize)",
    "M47": "class Model(torch.nn.Module): pass\nprint(Model())",
    "M49": "with torch.no_grad(): pass",
    "M54": "batch_size = 16\nbatch_size = batch_size",
}


def error_of(code: str) -> str:
    """What a program ends with."""
    with pytest.raises((NameError, AttributeError)) as caught:
        exec(FIRST + code, {})
    return str(caught.value)


@pytest.mark.parametrize("number", PROGRAMS)
def test_M19_M26_M29_M30_M31_M47_M49_M54_names(number: str) -> None:
    says(number, error_of(PROGRAMS[number]))
    if number in MENDED:
        exec(FIRST + MENDED[number], {})


def test_M19_the_texts_graph_with_values(run: Any) -> None:
    assert run("003 L1171").w.shape == (2, 1)


def test_M44_zeros(program: Any, device: Any) -> None:
    says("M44", error_of("torch0zero_()") + error_of("toech.zero_like(1)"))
    # Python's own help is no part of the exception, but of what it prints.
    assert "Did you mean: 'torch'?" in program(FIRST + "toech.zero_like(1)").stderr
    with pytest.raises(AttributeError, match="did you mean 'zeros_like'"):
        dt.zero_like(dt.ones(2))
    x = dt.ones(2, device=device)
    assert dt.zeros_like(x).tolist() == x.zero_().tolist() == [0, 0]


def test_M47_a_module_is_spelled_so() -> None:
    said = "module 'dovetail.nn' has no attribute 'moudle'; did you mean 'Module' or 'modules'?"
    assert error_of("nn.moudle") == said


def test_M50_a_near_miss_of_a_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"CUDA_VISIBLE_DEVICE": "2", "CUDA_VISBLE_DEVICE": "0,1", "CUDA_VISIBLE_DEVICES": ""}
    assert doctor.near_misses(environ) == [
        ("CUDA_VISBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
        ("CUDA_VISIBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
    ]
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICE", "2")
    assert doctor.main([]) == 1
    says("M50", capsys.readouterr().out)


def test_M52_a_rate_and_a_module() -> None:
    says("M52", error_of("lr=le-4") + error_of("torch.optimizer"))
    assert ast.literal_eval("1e-4") == 0.0001
    assert dt.optim.Adam([dt.ones(1, requires_grad=True)], lr=1e-4).defaults["lr"] == 1e-4
