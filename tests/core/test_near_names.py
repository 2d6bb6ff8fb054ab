"""A name that a module lacks: PyTorch's class and sentence, and what was probably meant."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import dovetail as dt
from dovetail.standing_in import _counterpart


@pytest.mark.parametrize(
    ("module", "name", "ends"),
    [
        (dt, "np_grad", "; did you mean 'no_grad' or 'autograd.grad'?"),
        (dt, "optimizer", "; did you mean 'optim.Optimizer' or 'optim'?"),
        (dt, "Dataset", "; did you mean 'utils.data.Dataset' or 'utils.data.StackDataset'?"),
        (dt, "fx", "has no attribute 'fx'"),
        (dt.optim, "Adm", "; did you mean 'Adam'?"),
        (dt.nn, "Lineer", "; did you mean 'Linear' or 'Bilinear'?"),
        (dt.nn.functional, "rleu", "; did you mean 'relu'?"),
        (dt.linalg, "invv", "; did you mean 'inv' or 'pinv'?"),
        (dt.utils.data, "Dataloader", "; did you mean 'DataLoader'?"),
        (dt, "qqqqqq", "has no attribute 'qqqqqq'"),
        (dt, "_np_grad", "has no attribute '_np_grad'"),
        (dt.optim, "state_dict", "; did you mean 'Optimizer.state_dict' or "
                                 "'Optimizer.load_state_dict'?"),
    ],
    ids=lambda v: v if isinstance(v, str) and "'" not in v else "",
)  # fmt: skip
def test_absent_names(module: Any, name: str, ends: str) -> None:
    assert not hasattr(module, name)
    with pytest.raises(AttributeError) as caught:
        getattr(module, name)
    assert str(caught.value).startswith(f"module {module.__name__!r} has no attribute {name!r}")
    assert str(caught.value).endswith(ends)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_absent_modules() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"'util\.data'; did you mean 'utils'") as caught:
        _counterpart("util.data")
    assert caught.value.name == "torch.util.data"
