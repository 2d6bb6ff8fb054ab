"""Factorizations and systems of small matrices, beside LAPACK, in both classes of device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.errors import HostFallbackWarning

torch = pytest.importorskip("torch")

CASES = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)
KINDS = ("float32", "complex128")
EMPTY = ((0, 0), (2, 0, 0), (0, 2, 2), (33, 0, 0))
SHAPES = (*EMPTY, (3, 3), (1, 1), (2, 3, 5, 5), (40, 40), (33, 5, 5))

def numbers(kind, *shape):
    made = random.standard_normal(shape)
    if "complex" in kind:
        made = made + 1j * random.standard_normal(shape)
    return made.astype(kind)

def placed(array, lies=0):
    # Dense, transposed, or with gaps and an offset.
    if lies == 1:
        return dt.tensor(np.swapaxes(array, -2, -1).copy(), device="opencl:0").transpose(-2, -1)
    if lies == 2:
        wide = np.full((*array.shape[:-2], array.shape[-2] + 2, array.shape[-1] + 3), np.nan)
        wide = wide.astype(array.dtype)
        wide[..., 1:-1, 2:-1] = array
        return dt.tensor(wide, device="opencl:0")[..., 1:-1, 2:-1]
    return dt.tensor(array, device="opencl:0")

def exact(array):
    return torch.tensor(array.astype("complex128" if array.dtype.kind == "c" else "float64"))

def near(found, wanted, factor=1):
    found, wanted = found.cpu().numpy(), np.asarray(wanted)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    if found.size:
        bound = 200 * factor * np.finfo(found.dtype).eps * max(1, np.abs(wanted).max())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)

def apart(kind, shape):
    return numbers(kind, *shape) + (3 * shape[-1] * np.eye(shape[-1])).astype(kind)
"""

CHECKS = {
    "lu": """
for kind in KINDS:
    for i, shape in enumerate((*SHAPES, (5, 2), (2, 3, 4), (0, 3), (3, 0), (40, 7, 3), (37, 50))):
        x = numbers(kind, *shape)
        made, pivots, info = dt.linalg.lu_factor_ex(placed(x, i % 3))
        wanted = torch.linalg.lu_factor_ex(exact(x))
        near(made, wanted.LU, 20)
        assert pivots.tolist() == wanted.pivots.tolist()
        assert info.tolist() == wanted.info.tolist()
""",
    "determinants": """
for kind in KINDS:
    for i, shape in enumerate(SHAPES):
        x = numbers(kind, *shape) / max(1, shape[-1]) ** 0.5
        near(dt.linalg.det(placed(x, i % 3)), torch.linalg.det(exact(x)), 20)
        sign, size = dt.linalg.slogdet(placed(x, i % 3))
        wanted = torch.linalg.slogdet(exact(x))
        near(sign, wanted.sign, 20)
        near(size, wanted.logabsdet, 20)
""",
    "solutions": """
for kind in KINDS:
    for i, shape in enumerate(SHAPES):
        x = apart(kind, shape)
        near(dt.linalg.inv(placed(x, i % 3)), torch.linalg.inv(exact(x)))
        for columns in (0, 1, 3, 150):
            b = numbers(kind, *shape[:-1], columns)
            near(dt.linalg.solve(placed(x, i % 3), placed(b, columns % 3)),
                 torch.linalg.solve(exact(x), exact(b)))
""",
    "triangles": """
for kind in KINDS:
    for i, shape in enumerate(SHAPES):
        x = apart(kind, shape) / max(1, 3 * shape[-1])
        for flags in range(8):
            upper, left, unit = (bool(flags & k) for k in (1, 2, 4))
            columns = (0, 1, 3, 150)[(i + flags) % 4]
            b = numbers(kind, *shape[:-1], columns)
            b = b if left else np.swapaxes(b, -2, -1).copy()
            made = dt.linalg.solve_triangular(
                placed(x, flags % 3), placed(b, i % 3), upper=upper, left=left, unitriangular=unit)
            near(made, torch.linalg.solve_triangular(
                exact(x), exact(b), upper=upper, left=left, unitriangular=unit), 50)
""",
    "cholesky": """
for kind in KINDS:
    for i, shape in enumerate(SHAPES):
        x = apart(kind, shape)
        x = x @ np.swapaxes(x, -2, -1).conj()
        for upper in (False, True):
            spoilt = np.triu(x) if upper else np.tril(x)
            found, info = dt.linalg.cholesky_ex(placed(spoilt, i % 3), upper=upper)
            near(found, torch.linalg.cholesky(exact(x), upper=upper))
            assert not info.any()
""",
    "ldl": """
for kind in KINDS:
    for hermitian in (False, True) if "complex" in kind else (False,):
        for i, shape in enumerate((s for s in SHAPES if 0 not in s)):
            x, n = numbers(kind, *shape), shape[-1]
            x = x + (np.swapaxes(x, -2, -1).conj() if hermitian else np.swapaxes(x, -2, -1))
            x[..., range(n), range(n)] *= 0.1  # so that blocks of two come up
            found = dt.linalg.ldl_factor_ex(placed(np.tril(x), i % 3), hermitian=hermitian)
            wanted = torch.linalg.ldl_factor_ex(torch.tensor(x), hermitian=hermitian)
            assert found.pivots.tolist() == wanted.pivots.tolist()
            near(found.LD, wanted.LD.tril(), 500)
            assert not found.info.any()
            b = numbers(kind, *shape[:-1], i + 1)
            factors = found.LD, found.pivots
            made = dt.linalg.ldl_solve(*factors, placed(b, i % 3), hermitian=hermitian)
            # The residual, which does not know how far from singular a matrix is.
            size = np.abs(x).max() * np.abs(made.cpu().numpy()).max() * n
            bound = 500 * np.finfo(x.dtype).eps * size
            assert np.abs(x @ made.cpu().numpy() - b).max() <= bound
assert dt.linalg.ldl_factor_ex(placed(np.diag([1.0, 0.0]))).info.item() == 2
""",
    "singular": """
for batch in (1, 40):  # by itself, and side by side
    x = np.tile(np.eye(3), (batch, 1, 1))
    x[0] = np.diag([1, 0, 0])
    x[-1] = np.diag([2, 3, 0])
    given = placed(x)
    infos = [2] + [0] * (batch - 2) + [3] if batch > 1 else [3]
    for found in (dt.linalg.lu_factor_ex(given), dt.linalg.inv_ex(given)):
        assert found.info.tolist() == infos
    assert dt.linalg.solve_ex(given, given).info.tolist() == infos
    assert dt.linalg.det(given)[-1].item() == 0
    sign, size = dt.linalg.slogdet(given)
    assert sign[-1].item() == 0 and size[-1].item() == -np.inf
assert dt.linalg.cholesky_ex(placed(np.diag([1.0, -1.0, 1.0]))).info.item() == 2
for call in (dt.linalg.inv, dt.linalg.cholesky, lambda x: dt.linalg.solve(x, x)):
    said = []
    for device in ("opencl:0", "cpu"):
        try:
            call(dt.tensor(np.diag([1.0, -1.0, 0.0]), device=device))
        except dt.linalg.LinAlgError as error:
            said.append(str(error))
    assert len(said) == 2 and said[0] == said[1], said
""",
    "nan": """
for shape in ((4, 4), (40, 4, 4), (20, 20)):
    x = numbers("float32", *shape)
    x[..., 2, 1] = np.nan
    given = placed(x)
    made = [dt.linalg.det(given), dt.linalg.slogdet(given)[1], dt.linalg.inv_ex(given)[0]]
    made.append(dt.linalg.solve_ex(given, given)[0])
    for found in made:
        assert found.isnan().reshape(-1)[-1].item()
    assert dt.linalg.cholesky_ex(given)[1].ne(0).all()
""",
    "gradients": """
x = apart("float64", (2, 4, 4))
h = x @ np.swapaxes(x, -2, -1)
b = numbers("float64", 2, 4, 3)

def gradient(library, call, *arrays):
    device = "opencl:0" if library is dt else "cpu"
    given = [library.tensor(array, device=device, requires_grad=True) for array in arrays]
    made = call(library, *given)
    (made * made).sum().backward()
    return [g.grad.cpu() for g in given]

for call, *arrays in (
    (lambda l, x: l.linalg.lu_factor(x)[0], x),
    (lambda l, x: l.linalg.det(x) / 1000, x),
    (lambda l, x: l.linalg.slogdet(x)[1], x),
    (lambda l, x: l.linalg.inv(x), x),
    (lambda l, x: l.linalg.cholesky((x + x.transpose(-2, -1)) / 2), h),
    (lambda l, x, b: l.linalg.solve(x, b), x, b),
    (lambda l, x, b: l.linalg.solve_triangular(x, b, upper=True), x, b),
    (lambda l, x, b: l.cholesky_solve(b, x.tril()), x, b),
):
    for ours, theirs in zip(gradient(dt, call, *arrays), gradient(torch, call, *arrays)):
        near(ours, theirs, 50)
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_lapack_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


CALLS: dict[str, Callable[[Any], Any]] = {
    "lu_factor_ex": dt.linalg.lu_factor_ex,
    "cholesky_ex": dt.linalg.cholesky_ex,
    "solve_triangular": lambda x: dt.linalg.solve_triangular(x, x, upper=True),
    "solve_ex": lambda x: dt.linalg.solve_ex(x, x),
    "inv_ex": dt.linalg.inv_ex,
    "det": dt.linalg.det,
    "slogdet": dt.linalg.slogdet,
    "ldl_factor_ex": dt.linalg.ldl_factor_ex,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_batch_is_a_launch(opencl: dt.device, queue: Any, name: str) -> None:
    for x in (dt.eye(4).expand(50, 4, 4), dt.eye(60).expand(2, 3, 60, 60)):
        x = x.to(opencl).transpose(-2, -1)
        CALLS[name](x)
        before = queue.launches
        CALLS[name](x)
        assert queue.launches == before + 1


def test_large_matrices_go_to_the_host(opencl: dt.device) -> None:
    x = dt.eye(1000, device=opencl)
    with pytest.warns(HostFallbackWarning, match="linalg_lu_factor_ex"):
        made = dt.linalg.lu_factor(x)
    np.testing.assert_array_equal(made.LU.cpu().numpy(), np.eye(1000, dtype=np.float32))
