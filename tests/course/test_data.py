"""Data (003 L2144-2209, 002 L36-54, 004 L375-449)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.utils.data import DataLoader, Dataset, random_split


def test_003_L2161_a_set_of_ones_own(run: Any) -> None:
    names = run("003 L2161")
    assert len(names.my_dataset) == 3
    x, y = names.my_dataset[1]
    assert x.tolist() == names.inputdata[1].tolist()
    assert y.item() == 1
    assert isinstance(names.my_dataset, Dataset)


def test_003_L2197_a_loader_of_it(run: Any) -> None:
    names = run("003 L2197")
    seen = dt.cat([x for x, _ in names.loader])
    assert sorted(seen.tolist()) == sorted(names.inputdata.tolist())


def test_003_L2194_the_loaders_defaults() -> None:
    loader = DataLoader(range(3))
    assert (loader.batch_size, loader.num_workers, loader.drop_last) == (1, 0, False)
    assert [b.tolist() for b in loader] == [[0], [1], [2]]


def test_002_L45_a_loader(run: Any) -> None:
    names = run("002 L45")
    assert names.data.shape == (1, 2)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_002_L42_processes_load_the_same(run_on_host: Any) -> None:
    data = run_on_host("002 L45").my_dataset
    alone = [[t.tolist() for t in batch] for batch in DataLoader(data, batch_size=2)]
    loader = DataLoader(data, batch_size=2, num_workers=2)
    assert [[t.tolist() for t in batch] for batch in loader] == alone


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_004_L431_batches(run: Any) -> None:
    names = run("004 L431")
    assert len(names.train_loader) == 2  # the last two of ten are dropped
    assert len(names.val_loader) == 1
    assert sorted(y for _, ys in names.train_loader for y in ys.tolist()) != list(range(8))
    assert names.labels.tolist() == [0, 1, 2, 3]
    [drawn] = names.plt.gca().images
    picture = np.array(names.images[0].tolist()).transpose(1, 2, 0)
    np.testing.assert_allclose(drawn.get_array(), picture, rtol=1e-6)


def test_004_L319_training_validation_and_test_sets() -> None:
    dt.manual_seed(0)
    parts = random_split(range(10), [6, 2, 2])
    assert [len(p) for p in parts] == [6, 2, 2]
    assert sorted(x for p in parts for x in p) == list(range(10))
