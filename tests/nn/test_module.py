"""Module beside PyTorch's texts: conversions, identities, copies, modes and gradients."""

from __future__ import annotations

import copy
import pickle

import pytest

import dovetail as dt
import dovetail.nn


def model_on(device):
    return dt.nn.Sequential(
        dt.nn.Linear(3, 4), dt.nn.BatchNorm1d(4), dt.nn.ReLU(), dt.nn.Linear(4, 2)
    ).to(device)


def test_state_dict_shares_memory_and_is_detached(device):
    layer = dt.nn.Linear(2, 2).to(device)
    state = layer.state_dict()
    assert not state["weight"].requires_grad
    with dt.no_grad():
        layer.weight.fill_(3)
    assert state["weight"].sum().item() == 12.0
    kept = layer.state_dict(keep_vars=True)
    assert kept["weight"] is layer.weight


def test_state_dict_into_a_destination():
    layer = dt.nn.PReLU()
    target = {}
    assert layer.state_dict(destination=target, prefix="a.") is target
    assert list(target) == ["a.weight"]
    with pytest.warns(FutureWarning, match="by name"):
        assert list(layer.state_dict({}, "b.")) == ["b.weight"]


def test_loading_copies_and_assigning_replaces():
    layer = dt.nn.PReLU()
    weight = layer.weight
    given = dt.tensor([5.0])
    layer.load_state_dict({"weight": given})
    assert layer.weight is weight
    given.fill_(6)
    assert weight.item() == 5.0
    layer.weight.requires_grad_(False)
    layer.load_state_dict({"weight": given.double()}, assign=True)
    assert layer.weight is not weight
    assert layer.weight.dtype is dt.float64
    assert isinstance(layer.weight, dt.nn.Parameter)
    assert not layer.weight.requires_grad


def test_loading_casts_and_moves(device):
    layer = dt.nn.Linear(2, 1, bias=False).to(device)
    layer.load_state_dict({"weight": dt.tensor([[1, 2]])})
    assert layer.weight.dtype is dt.float32
    assert layer.weight.device == device
    assert layer.weight.tolist() == [[1.0, 2.0]]


def test_partial_loading_reports_the_keys():
    layer = dt.nn.Linear(2, 1)
    result = layer.load_state_dict({"bias": dt.zeros(1), "more": dt.zeros(1)}, strict=False)
    assert result.missing_keys == ["weight"]
    assert result.unexpected_keys == ["more"]
    missing, unexpected = result
    assert (missing, unexpected) == (["weight"], ["more"])


class WithExtra(dt.nn.Module):
    def __init__(self, count=0):
        super().__init__()
        self.count = count

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def test_extra_state_round_trip():
    state = dt.nn.Sequential(WithExtra(5)).state_dict()
    assert state == {"0._extra_state": {"count": 5}}
    target = dt.nn.Sequential(WithExtra())
    target.load_state_dict(state)
    assert target[0].count == 5
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\._extra_state"'):
        target.load_state_dict({})


def test_non_persistent_buffers_stay_out_of_the_state():
    module = dt.nn.Module()
    module.register_buffer("kept", dt.zeros(1))
    module.register_buffer("hidden", dt.zeros(1), persistent=False)
    assert list(module.state_dict()) == ["kept"]
    assert [name for name, _ in module.named_buffers()] == ["kept", "hidden"]
    module.hidden = dt.ones(1)
    assert list(module.state_dict()) == ["kept"]
    module.register_buffer("hidden", dt.zeros(1))
    assert list(module.state_dict()) == ["kept", "hidden"]
    del module.hidden
    assert list(module.state_dict()) == ["kept"]
    assert not hasattr(module, "hidden")


def test_conversion_keeps_the_parameters_themselves(device):
    model = model_on(device)
    before = list(model.parameters())
    model(dt.ones(5, 3, device=device)).sum().backward()
    assert model.to(dt.float64) is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert {p.dtype for p in model.parameters()} == {dt.float64}
    assert {p.grad.dtype for p in model.parameters()} == {dt.float64}
    assert not any(p.grad.requires_grad for p in model.parameters())
    assert model[1].running_mean.dtype is dt.float64
    assert model[1].num_batches_tracked.dtype is dt.int64
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    model(dt.ones(5, 3, device=device, dtype=dt.float64)).sum().backward()


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda m: m.half(), "float16"),
        (lambda m: m.bfloat16(), "bfloat16"),
        (lambda m: m.double(), "float64"),
        (lambda m: m.double().float(), "float32"),
        (lambda m: m.to(dt.float64), "float64"),
        (lambda m: m.to(dtype=dt.float16), "float16"),
        (lambda m: m.to("cpu", dt.float64), "float64"),
        (lambda m: m.to(dt.zeros(1, dtype=dt.float64)), "float64"),
        (lambda m: m.to("cpu"), "float32"),
        (lambda m: m.to(dt.device("cpu"), non_blocking=True), "float32"),
        (lambda m: m.to(dt.float64, True), "float64"),
    ],
)
def test_forms_of_to(call, dtype):
    module = dt.nn.BatchNorm1d(2)
    assert call(module) is module
    assert module.weight.dtype is module.running_var.dtype is getattr(dt, dtype)
    assert module.num_batches_tracked.dtype is dt.int64
    assert module.weight.device == dt.device("cpu")


def test_wrong_arguments_of_to():
    module = dt.nn.PReLU()
    with pytest.raises(TypeError, match="unexpected keyword argument 'kind'"):
        module.to(kind=1)
    with pytest.raises(TypeError, match="multiple values for argument 'dtype'"):
        module.to(dt.float64, dtype=dt.float64)
    with pytest.raises(TypeError, match="at most 2"):
        module.to(dt.float64, True, 3)


def test_type_casts_everything():
    module = dt.nn.BatchNorm1d(2).type(dt.float64)
    assert module.num_batches_tracked.dtype is dt.float64


def test_to_device_and_back(device):
    model = model_on("cpu")
    expected = {name: value.tolist() for name, value in model.state_dict().items()}
    model.to(device)
    assert {t.device for t in (*model.parameters(), *model.buffers())} == {device}
    model.cpu()
    assert {t.device.type for t in model.parameters()} == {"cpu"}
    assert {name: value.tolist() for name, value in model.state_dict().items()} == expected


def test_device_name_is_a_method(device):
    module = dt.nn.Linear(2, 2)
    assert getattr(module, device.type)() is module
    assert module.weight.device.type == device.type
    index = device.index or 0
    assert getattr(module, device.type)(*((index,) if device.type != "cpu" else ())) is module
    with pytest.raises(AttributeError, match="no attribute 'warp'"):
        module.warp()


def test_names_of_devices_are_free_for_attributes():
    module = dt.nn.Module()
    module.register_buffer("meta", dt.zeros(1))
    assert module.meta.tolist() == [0.0]
    other = dt.nn.Module()
    assert other.meta() is other


def test_meta_model_is_filled_by_to_empty_and_loading(device):
    plan = dt.nn.Linear(3, 2, device="meta")
    assert plan(dt.ones(4, 3, device="meta")).shape == (4, 2)
    real = dt.nn.Linear(3, 2)
    with pytest.warns(UserWarning, match="assign=True"):
        plan.load_state_dict(real.state_dict())
    plan.to_empty(device=device)
    plan.load_state_dict(real.state_dict())
    assert plan.weight.tolist() == real.weight.tolist()
    assert plan.weight.device == device
    assert plan.weight.requires_grad


def test_train_and_eval_reach_every_module():
    model = model_on("cpu")
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert model.train()[1].training


def test_apply_goes_children_first():
    order = []
    model = dt.nn.Sequential(dt.nn.ReLU(), dt.nn.Sequential(dt.nn.Tanh()))
    assert model.apply(lambda m: order.append(type(m).__name__)) is model
    assert order == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_requires_grad_and_zero_grad(device):
    model = model_on(device)
    model(dt.ones(5, 3, device=device)).sum().backward()
    model.zero_grad(set_to_none=False)
    assert all(float(p.grad.abs().sum()) == 0 for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert model.requires_grad_(False) is model
    assert not any(p.requires_grad for p in model.parameters())


def test_deepcopy_shares_nothing_and_keeps_what_is_shared():
    model = dt.nn.Sequential(dt.nn.Linear(2, 2), dt.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    twin = copy.deepcopy(model)
    assert twin[1].weight is twin[0].weight
    with dt.no_grad():
        twin[0].weight.fill_(0)
    assert float(model[0].weight.abs().sum()) > 0
    assert isinstance(twin[0].weight, dt.nn.Parameter)
    assert twin[0].weight.requires_grad


def test_pickle_round_trip():
    model = model_on("cpu").eval()
    model[0].weight.requires_grad_(False)
    twin = pickle.loads(pickle.dumps(model))
    x = dt.arange(6).float().view(2, 3)
    assert twin(x).tolist() == model(x).tolist()
    assert not twin.training
    assert not twin[0].weight.requires_grad
    assert isinstance(twin[3].weight, dt.nn.Parameter)
    assert repr(twin) == repr(model)


def test_parameter_shares_memory_with_its_data():
    data = dt.zeros(2)
    parameter = dt.nn.Parameter(data)
    data.fill_(4)
    assert parameter.tolist() == [4.0, 4.0]
    with dt.no_grad():
        assert dt.nn.Parameter(data).requires_grad
    assert dt.nn.Parameter(data, False).requires_grad is False
    with pytest.raises(TypeError, match="data must be a Tensor, got list"):
        dt.nn.Parameter([1.0])


def test_parameter_of_a_subclass_keeps_its_class():
    class Named(dt.nn.Parameter):
        pass

    named = Named(dt.zeros(1))
    assert type(named) is Named
    assert type(copy.deepcopy(named)) is Named
    module = dt.nn.Module()
    module.p = named
    assert module.p is named
    assert next(module.parameters()) is named


def test_printing_indents_lines_of_text():
    class Talks(dt.nn.Module):
        def extra_repr(self):
            return "first\nsecond"

    outer = Talks()
    outer.inner = Talks()
    outer.absent = None
    outer.add_module("nothing", None)
    assert repr(outer) == (
        "Talks(\n  first\n  second\n  (inner): Talks(\n    first\n    second\n  )\n"
        "  (nothing): None\n)"
    )


def test_super_init_can_pass_arguments_on():
    class Base:
        def __init__(self, tag):
            self.tag = tag

    class Both(dt.nn.Module, Base):
        call_super_init = True

        def __init__(self):
            super().__init__("given")

    assert Both().tag == "given"


def test_moving_a_parameter_name_between_kinds():
    module = dt.nn.Module()
    module.x = 3
    module.x = dt.nn.Parameter(dt.zeros(1))
    assert "x" not in module.__dict__
    module.x = None
    assert module.x is None
    assert list(module.parameters()) == []
    del module.x
    module.x = dt.nn.ReLU()
    assert list(module._modules) == ["x"]


def test_unhooked_call_runs_forward_with_everything():
    class Sums(dt.nn.Module):
        def forward(self, *args, **kwargs):
            return sum(args) + sum(kwargs.values())

    assert Sums()(1, 2, a=3, b=4) == 10


def test_errors_of_dictionaries():
    with pytest.raises(TypeError, match="element #0 should be Iterable; is int"):
        dt.nn.ModuleDict([1])
    with pytest.raises(TypeError, match=r"not a string \(type is 'int'\)"):
        dt.nn.ParameterDict()[2] = dt.zeros(1)
