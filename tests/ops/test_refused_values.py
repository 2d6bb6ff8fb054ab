"""What PyTorch refuses for its values is refused on every device, in PyTorch's class and words.

The values are looked at where the call is made; what a kernel reports later is asked for in
``test_division.py``, ``test_loss.py`` and the tests of a backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

nan, inf = float("nan"), float("inf")
ZEROS = [[0.0, 0.0], [0.0, 0.0]]
SINGULAR = [[[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]
NANS = [[nan, nan], [nan, nan]]
EYE = [[1.0, 0.0], [0.0, 1.0]]

Call = Callable[[Any, Callable[[Any], Any]], Any]
"""A call of (PyTorch or dovetail, what makes a tensor of a list)."""

CALLS: dict[str, Call] = {
    "cholesky_inverse": lambda lib, t: lib.cholesky_inverse(t(ZEROS)),
    "cholesky_inverse, upper": lambda lib, t: lib.cholesky_inverse(t(ZEROS), upper=True),
    "cholesky_inverse of many": lambda lib, t: lib.cholesky_inverse(t(SINGULAR)),
    "cholesky": lambda lib, t: lib.linalg.cholesky(t(NANS)),
    "cholesky of many": lambda lib, t: lib.linalg.cholesky(t([EYE, NANS])),
    "svd": lambda lib, t: lib.linalg.svd(t(NANS)),
    "svdvals": lambda lib, t: lib.linalg.svdvals(t([EYE, NANS])),
    "lu_solve": lambda lib, t: lib.linalg.lu_solve(t(EYE), t([0, 2]).to(lib.int32), t(EYE)),
    "lu_solve beyond": lambda lib, t: lib.linalg.lu_solve(t(EYE), t([1, 3]).to(lib.int32), t(EYE)),
    "ldl_solve": lambda lib, t: lib.linalg.ldl_solve(t(EYE), t([0, 2]).to(lib.int32), t(EYE)),
    "ldl_solve beyond": lambda lib, t: lib.linalg.ldl_solve(
        t(EYE), t([-3, 2]).to(lib.int32), t(EYE)
    ),
}


@pytest.mark.filterwarnings("ignore::dovetail.errors.HostFallbackWarning")
@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch_refuses(name: str, device: Any, torch: Any) -> None:
    call = CALLS[name]
    with pytest.raises(RuntimeError) as theirs:
        call(torch, torch.tensor)
    with pytest.raises(RuntimeError) as ours:
        call(dt, lambda values: dt.tensor(values, device=device))
    assert str(ours.value) == str(theirs.value)
    assert (type(ours.value) is dt.linalg.LinAlgError) == ("LinAlgError" in str(theirs.type))


LATE: dict[str, Call] = {
    "histc": lambda lib, t: lib.histc(t([0.0, inf]), 4),
    "cov, fweights": lambda lib, t: lib.cov(t(EYE), fweights=t([1, -1])),
    "cov, aweights": lambda lib, t: lib.cov(t(EYE), aweights=t([1.0, -1.0])),
    "segment_reduce": lambda lib, t: lib.segment_reduce(t([1.0, 2.0]), "sum", lengths=t([1, 5])),
    "segment_reduce below 0": lambda lib, t: lib.segment_reduce(
        t([1.0, 2.0]), "sum", lengths=t([3, -1])
    ),
    "quantile": lambda lib, t: lib.quantile(t([1.0, 2.0]), t([0.5, 1.5])),
    "quantile of NaN": lambda lib, t: lib.quantile(t([1.0, 2.0]), t([nan])),
    "nanquantile": lambda lib, t: lib.nanquantile(t([[1.0, 2.0]]), t([-0.1]), 1),
    "bernoulli": lambda lib, t: lib.bernoulli(t([0.5, 1.5])),
    "multinomial": lambda lib, t: lib.multinomial(t([0.5, -1.5]), 1),
    "multinomial of nothing": lambda lib, t: lib.multinomial(t([0.0, 0.0]), 2, True),
}
"""What a device's kernel may look at."""


@pytest.mark.parametrize("name", LATE)
def test_refused_where_values_are_asked_for_at_the_latest(
    name: str, device: Any, torch: Any
) -> None:
    call = LATE[name]
    with pytest.raises(RuntimeError) as theirs:
        call(torch, torch.tensor)
    with pytest.raises(RuntimeError) as ours:
        call(dt, lambda values: dt.tensor(values, device=device)).tolist()
    wanted = str(theirs.value).split(", but got")[0]
    assert str(ours.value).startswith(wanted), str(ours.value)


def test_unsafe_lengths_are_not_looked_at(device: Any) -> None:
    x = dt.tensor([1.0, 2.0, 3.0], device=device)
    made = dt.segment_reduce(x, "sum", lengths=dt.tensor([1, 1], device=device), unsafe=True)
    assert made.tolist() == [1.0, 2.0]
