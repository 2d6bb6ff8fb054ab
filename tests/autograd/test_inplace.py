"""In-place writes and autograd: version counters, views, PyTorch's errors with the user's line."""

from __future__ import annotations

import pytest

import dovetail as dt


def leaf(device: dt.device) -> dt.Tensor:
    return dt.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)


def test_a_leaf_that_requires_grad_refuses(device: dt.device) -> None:
    x = leaf(device)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0:2].add_(1)
    with dt.no_grad():
        x.add_(1)
    assert x.detach().cpu().tolist() == [2.0, 3.0, 4.0]


def test_writing_what_backward_needs_names_operator_shape_versions_and_line(
    device: dt.device,
) -> None:
    x = leaf(device)
    y = x * 2
    z = y * y
    y.add_(1)  # the culprit
    with pytest.raises(RuntimeError) as caught:
        z.sum().backward()
    text = str(caught.value)
    for part in (
        "modified by an inplace operation",
        "[3]",
        "MulBackward0",
        "is at version 1; expected version 0",
        "add_",
        "test_inplace.py",
        "y.add_(1)  # the culprit",
    ):
        assert part in text, part


def test_writing_through_a_view_is_noticed(device: dt.device) -> None:
    x = leaf(device)
    y = x * 2
    z = y.exp()
    w = y * z
    z[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.sum().backward()


def test_writing_what_is_not_needed_is_fine(device: dt.device) -> None:
    x = leaf(device)
    y = x + 1
    z = y + 2
    y.mul_(3)
    (z.sum() + y.sum()).backward()
    assert x.grad.cpu().tolist() == [4.0, 4.0, 4.0]


def test_saved_output_written_to(device: dt.device) -> None:
    x = leaf(device)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="ExpBackward0"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("name", "written"),
    [("sort", 1), ("max", 1), ("cummax", 1), ("qr", 0), ("qr", 1), ("slogdet", 0), ("lstm", 0)],
)
def test_one_of_several_saved_outputs_written_to(
    device: dt.device, name: str, written: int
) -> None:
    """Whether a gradient comes through that output or not (indices)."""
    x = dt.eye(3, device=device).add_(1).requires_grad_()
    functions = {
        "sort": lambda: x.sort(1),
        "max": lambda: x.max(1),
        "cummax": lambda: x.cummax(0),
        "qr": lambda: dt.linalg.qr(x),
        "slogdet": lambda: dt.linalg.slogdet(x),
        "lstm": lambda: dt.nn.LSTM(3, 2, device=device)(x.unsqueeze(0)),
    }
    outs = functions[name]()
    with dt.no_grad():
        outs[written].mul_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outs[0].sum().backward()


def test_writing_through_a_view_changes_the_bases_history(device: dt.device) -> None:
    w = dt.tensor(3.0, device=device, requires_grad=True)
    base = dt.ones(4, device=device)
    base[1:3].mul_(w)
    assert base.requires_grad
    base.sum().backward()
    assert w.grad.item() == 2.0


def test_the_overwritten_part_gets_no_gradient(device: dt.device) -> None:
    x = leaf(device)
    y = x * 2
    y[1] = 10.0
    y.sum().backward()
    assert x.grad.cpu().tolist() == [2.0, 0.0, 2.0]


def test_other_views_see_the_new_history(device: dt.device) -> None:
    w = dt.tensor(3.0, device=device, requires_grad=True)
    base = dt.ones(4, device=device)
    before = base[2:]
    base[1:3].mul_(w)
    assert before.requires_grad
    before.sum().backward()
    assert w.grad.item() == 1.0


def test_every_live_view_sees_the_new_history(device: dt.device) -> None:
    w = dt.tensor(3.0, device=device, requires_grad=True)
    base = dt.ones(4, device=device)
    views = [base[i:] for i in range(4)]
    base[3:].mul_(w)
    assert [v.requires_grad for v in views] == [True] * 4
    sum(v.sum() for v in views).backward()
    assert w.grad.item() == 4.0


def test_in_place_chain_on_a_view_of_a_non_leaf(device: dt.device) -> None:
    x = leaf(device)
    y = x * 1
    v = y.view(3, 1)
    v.mul_(2)
    v.add_(1)
    y.sum().backward()
    assert x.grad.cpu().tolist() == [2.0, 2.0, 2.0]
    assert y.detach().cpu().tolist() == [3.0, 5.0, 7.0]


def test_detached_writes_are_seen_by_both_and_guarded(device: dt.device) -> None:
    x = leaf(device)
    y = x.exp()
    d = y.detach()
    d.zero_()
    assert y.detach().cpu().tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_data_is_not_guarded(device: dt.device) -> None:
    x = leaf(device)
    y = x * x
    x.data.zero_()
    y.sum().backward()
    assert x.grad.cpu().tolist() == [0.0, 0.0, 0.0]


def test_in_place_broadcast_cannot_grow_the_target(device: dt.device) -> None:
    with pytest.raises(RuntimeError, match=r"\[2, 3, 1\] doesn't match the broadcast shape"):
        dt.ones(2, 3, 1, device=device).add_(dt.ones(2, 3, 3, device=device))
    x = dt.ones(2, 3, 3, device=device).add_(dt.ones(2, 1, 1, device=device))
    assert x.shape == (2, 3, 3)


def test_expanded_targets_refuse(device: dt.device) -> None:
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        dt.ones(1, 3, device=device).expand(2, 3).add_(1)


def test_overlapping_source_and_target(device: dt.device) -> None:
    x = dt.arange(5.0, device=device)
    x[1:].add_(x[:-1])
    assert x.cpu().tolist() == [0.0, 1.0, 3.0, 5.0, 7.0]


def test_result_type_must_fit(device: dt.device) -> None:
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output"):
        dt.ones(3, dtype=dt.int64, device=device).add_(1.5)


def test_detach_of_a_view_in_place(device: dt.device) -> None:
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (leaf(device) * 2)[0].detach_()
