"""What ``dt.capabilities`` says of opencl: kernels whose condition asks the device too."""

from __future__ import annotations

import dovetail as dt


def test_factorizations_are_kernels_and_large_ones_the_hosts(opencl: dt.device) -> None:
    table = dt.capabilities(opencl, "linalg_*")
    for name in ("linalg_qr", "linalg_eigh", "linalg_svd", "linalg_lu_factor_ex"):
        assert table.cell(name, dt.float32)[2:] == ("host", ("kernel",)), name
    assert table.cell("linalg_eig", dt.float32)[2:] == ("host", ())
    assert table.cell("linalg_inv_ex", dt.float32).label == "fused"


def test_what_has_kernels_for_all_its_calls_is_a_kernel(opencl: dt.device) -> None:
    table = dt.capabilities(opencl, "[dl]i[vn]*")
    assert table.cell("div", dt.int32)[2:] == ("kernel", ())
    assert table.cell("linear", dt.float32)[2:] == ("fused", ())
