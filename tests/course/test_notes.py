"""The notes' own listings: first steps (000), modules (002), tensors and devices (004)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .comparing import same


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listings set a variable of the environment."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_000_L40_it_is_there(run: Any) -> None:
    names = run("000 L40")
    assert names.printed == "torch.Size([5, 3])\n"
    assert names.available is dt.cuda.is_available()


def test_000_L104_floats_are_float32(run: Any) -> None:
    assert run("000 L104").a.dtype is dt.float32


def test_000_L120_the_dtype_is_the_arrays(run: Any) -> None:
    same(run("000 L120").a, np.array([[1, 2], [3, 4], [5, 6], [7, 8]]))


def test_000_L138_zeros(run: Any) -> None:
    same(run("000 L138").a, np.zeros((2, 4), np.float32))


def test_002_L76_a_module(run: Any) -> None:
    names = run("002 L76")
    model = names.LinearModel(3)
    x = np.float32([[1, 2, 3]])
    expected = x @ np.array(model.weight.tolist()) + np.array(model.bias.tolist())
    np.testing.assert_allclose(model(dt.tensor(x)).tolist(), expected, rtol=1e-5)


def test_004_L52_tensors(run: Any) -> None:
    names = run("004 L52")
    assert names.x.shape == (4, 3)
    same(names.x_data, np.array([[1, 2], [3, 4]]))


def test_004_L60_zeros(run: Any) -> None:
    names = run("004 L60")
    same(names.y, np.zeros((2, 2), np.int64))
    same(names.z, np.zeros((2, 2), np.int64))
    assert names.x_data.tolist() == [[1, 2], [3, 4]]


def test_004_L66_of_an_array(run_on_host: Any) -> None:
    names = run_on_host("004 L66")
    names.np_array[0, 0] = 9
    assert names.x_np.tolist() == [[9, 2], [3, 4]]


def test_004_L72_like_another(run: Any) -> None:
    names = run("004 L72")
    assert names.x_ones.dtype is dt.int64
    assert names.x_rand.dtype is dt.float32


def test_004_L89_by_shape(run: Any) -> None:
    names = run("004 L89")
    assert names.rand_tensor.shape == names.ones_tensor.shape == (2, 3)


def test_004_L97_attributes(run: Any) -> None:
    assert run("004 L97").tensor.shape == (3, 4)


def test_004_L100_where_it_is(run_on_host: Any) -> None:
    assert run_on_host("004 L100").printed == "Device tensor is stored on:cpu\n"


def test_004_L118_three_additions(run: Any) -> None:
    names = run("004 L118")
    assert names.y.tolist() == names.first.tolist()


def test_004_L30_a_mean_over_dims(device: Any) -> None:
    x = np.arange(6.0).reshape(2, 3)
    t = dt.tensor(x, device=device)
    assert t.mean().item() == x.mean()
    same(t.mean(1), x.mean(1))
    same(t.mean((0, 1), keepdim=True), x.mean((0, 1), keepdims=True))


def test_004_L132_a_view_and_a_clone(run: Any) -> None:
    names = run("004 L132")
    assert names.shared[0, 0].item() == 9


def test_004_L142_an_item_is_a_number(device: Any) -> None:
    assert type(dt.tensor(2.5, device=device).item()) is float


def test_004_L253_a_card_by_the_environment(run: Any) -> None:
    run("004 L253")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


def test_004_L353_settings(run: Any) -> None:
    names = run("004 L353")
    assert (names.batch_size, names.lr, names.max_epochs) == (16, 0.0001, 100)
    assert names.device == dt.device("cuda:1" if dt.cuda.is_available() else "cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_004_L361_settings_of_a_file(tmp_path: Any) -> None:
    import json

    import dovetail.optim as optim

    (tmp_path / "run.json").write_text('{"batch_size": 16, "lr": 1e-4, "max_epochs": 100}')
    settings = json.loads((tmp_path / "run.json").read_text())
    optimizer = optim.Adam([dt.ones(1, requires_grad=True)], lr=settings["lr"])
    assert optimizer.param_groups[0]["lr"] == 1e-4
