"""Mistakes of pictures, sets and files: M20, M21, M27, M28, M32, M38, M56."""

from __future__ import annotations

import sys
import zipfile
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.style import pictures
from dovetail.utils.data import DataLoader

from .listings import section_of
from .mistakes import rows, says


def test_M20_pillow_is_no_part_of_python_nor_of_dovetail(program: Any) -> None:
    assert "PIL" not in sys.stdlib_module_names
    done = program("import sys\nimport dovetail, dovetail.nn\nprint('PIL' in sys.modules)\n")
    assert done.stdout == "False\n"


def test_M21_sizes_and_arrays_have_other_orders(run_on_host: Any) -> None:
    names = run_on_host("003 L1253")
    width, height = names.image.size
    assert (width, height) == (3, 2)
    assert np.asarray(names.image).shape == (height, width, 3)


@pytest.mark.parametrize("name", ["model.rar", "model.tar", "model"])
def test_M27_any_name_will_do(name: str, place_to_work: Any) -> None:
    state = {"epoch": 2, "model_state_dict": {"w": dt.ones(2)}, "loss": 0.5}
    dt.save(state, name)
    assert zipfile.is_zipfile(name)
    again = dt.load(name)
    assert (again["epoch"], again["loss"]) == (2, 0.5)
    assert again["model_state_dict"]["w"].tolist() == [1, 1]


def test_M28_parameters_are_numbered_so_that_another_process_can_load(
    run_on_host: Any, program: Any
) -> None:
    names = run_on_host("003 L2463")
    with pytest.raises(KeyError) as caught:
        _ = names.optimizer.state_dict()["param_group"]
    says("M28", str(caught.value))
    momentum = dt.optim.SGD(names.model.parameters(), lr=0.25, momentum=0.9)
    names.model(dt.ones(1, 3, 4, 4)).sum().backward()
    momentum.step()
    dt.save(momentum.state_dict(), "optimizer.pt")
    done = program(
        "import dovetail as torch\n"
        "model = torch.nn.Conv2d(3, 64, 3)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=1.0)\n"
        "optimizer.load_state_dict(torch.load('optimizer.pt'))\n"
        "print(optimizer.param_groups[0]['lr'])\n"
        "print(optimizer.state[model.weight]['momentum_buffer'].sum().item())\n"
    )
    assert done.returncode == 0, done.stderr
    lr, total = done.stdout.split()
    assert lr == "0.25"
    expected = momentum.state[names.model.features[0].weight]["momentum_buffer"].sum().item()
    assert float(total) == pytest.approx(expected, rel=1e-6)


def test_M32_pictures_of_two_shapes(run: Any, place_to_work: Any) -> None:
    from PIL import Image

    names = run("003 L2613")
    [assertion] = [
        line for line in section_of("003 L2613")[-1].code.splitlines() if line.startswith("assert")
    ]
    names.style_img = dt.zeros(1, 3, 32, 48)
    with pytest.raises(AssertionError) as caught:
        exec(assertion, vars(names))
    says("M32", str(caught.value))
    # One size for both: the middle square, of pictures of any shape.
    for size in ((50, 40), (20, 70)):
        Image.new("RGB", size).save("picture.png")
        picture = pictures.read(place_to_work / "picture.png", "style", 32)
        assert picture.shape == (1, 3, 32, 32)


def test_M38_shares_add_up() -> None:
    """The table of 003 L709-722: every row but one is within rounding of 100 %."""
    shares = [
        (22.5, 77.5), (31.3, 68.7), (4.5, 95.5), (0.8, 99.2), (1.7, 98.3), (0.7, 99.2),
        (31.4, 68.6), (34.3, 65.7), (7.4, 83.6), (28.6, 71.4), (1.0, 99.0),
    ]  # fmt: skip
    wrong = [pair for pair in shares if abs(sum(pair) - 100) > 0.15]
    assert wrong == [(7.4, 83.6)]
    assert all(f"{share} %" in rows()["M38"][1] for share in wrong[0])


class Series:
    """Stands for a column of a table of pandas."""


def test_M56_a_label_is_one_number(place_to_work: Any) -> None:
    def batches(label: Any) -> list[Any]:
        return list(DataLoader([(dt.ones(2), label)] * 3, batch_size=3))

    with pytest.raises(TypeError) as caught:
        batches(Series())
    says("M56", str(caught.value))
    assert "Series" in str(caught.value)
    [[_, labels]] = batches(1)
    assert labels.tolist() == [1, 1, 1]
