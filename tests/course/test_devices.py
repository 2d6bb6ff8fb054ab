"""Devices (003 L724-802, L2324-2334): the text's GPU is a loopback device here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .listings import section_of

ACCELERATOR = "loop:1"


@pytest.fixture
def on_accelerator(program: Any, need_device: Any) -> Any:
    """Run a section up to a place as a program, where ``cuda`` stands for another device."""
    need_device(ACCELERATOR)

    def run(place: str, *then: str) -> list[str]:
        code = "\n".join(listing.code for listing in section_of(place))
        done = program("\n".join((code, *then)), "--device", ACCELERATOR)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).splitlines()

    return run


def test_003_L731_a_tensor_on_a_gpu(on_accelerator: Any) -> None:
    ways = "[t.device for t in (my_data1, my_data2, my_data3)]"
    said = on_accelerator("003 L731", f"print(*{ways})", "print(my_device, my_data4.device)")
    assert said == ["loop:1 loop:1 loop:1", "cuda loop:1"]


def test_003_L731_without_a_gpu_the_error_says_why(program: Any) -> None:
    if dt.cuda.is_available():
        pytest.skip("there is a GPU of NVIDIA's")
    [listing] = section_of("003 L731")
    done = program(listing.code)
    assert done.returncode == 1
    assert "BackendUnavailable: cuda: " in done.stderr


def test_003_L748_to_a_device_and_to_a_dtype(on_accelerator: Any) -> None:
    said = on_accelerator("003 L748", "print(my_data1)")
    assert said == ["tensor([0., 1., 2., 3.], device='loop:1', dtype=torch.float64)"]


def test_003_L758_an_array_of_what_is_on_a_gpu(on_accelerator: Any) -> None:
    said = on_accelerator(
        "003 L758",
        "print(my_data3)",
        "try:\n    my_data2.numpy()\nexcept TypeError as error:\n    print(error)",
    )
    assert said[0] == "[0 1 2 3]"
    assert said[1].endswith("Use Tensor.cpu() to copy the tensor to host memory first.")


def test_003_L2324_a_leaf_moved_is_a_leaf_only_without_a_gradient(on_accelerator: Any) -> None:
    said = on_accelerator("003 L2324", "print(my_data3.is_leaf, my_data5.is_leaf)")
    assert said == ["True False"]


def test_003_L783_a_product_on_the_dlp(need_device: Any, run_on_host: Any) -> None:
    need_device("dlp")
    names = run_on_host("003 L783")
    assert str(names.c_dlp.device) == "dlp:0"
    product = names.a.numpy().astype(np.float64) @ names.b.numpy().astype(np.float64)
    np.testing.assert_allclose(names.c.numpy(), product, atol=1e-4)
    np.testing.assert_allclose(names.c_dlp.cpu().numpy(), product, atol=1e-4)


def test_003_L783_the_texts_import_is_the_plugin(need_device: Any, program: Any) -> None:
    need_device("dlp")
    done = program(
        "import torch\nimport torch_dlp\nprint(torch.ones(2).dlp())\n", "--device", "cpu"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "tensor([1., 1.], device='dlp:0')\n"


def test_003_L726_a_device_is_a_name_and_a_number() -> None:
    assert dt.device("cuda", 1) == dt.device("cuda:1")
    assert (dt.device("cuda:1").type, dt.device("cuda:1").index) == ("cuda", 1)
