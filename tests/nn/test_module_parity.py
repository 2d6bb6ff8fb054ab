"""Module, containers and state dicts do and say what PyTorch's do and say."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from nn_parity import same_outcome  # noqa: E402


def net(lib):
    return lib.nn.Sequential(
        OrderedDict(
            conv=lib.nn.Conv2d(1, 2, 3),
            block=lib.nn.Sequential(lib.nn.BatchNorm2d(2), lib.nn.ReLU(inplace=True)),
            head=lib.nn.Linear(4, 2, bias=False),
        )
    )


def registered(lib, call):
    module = lib.nn.Module()
    module.known = 1
    module.weight = lib.nn.Parameter(lib.zeros(2))
    module.child = lib.nn.ReLU()
    module.register_buffer("state", lib.zeros(1))
    return call(lib, module)


def set_attribute(name, make):
    def call(lib, module):
        setattr(module, name, make(lib))
        return list(module.state_dict()), name in module.__dict__

    return call


REGISTRATION = {
    "parameter of another type": lambda lib, m: m.register_parameter("p", 3),
    "parameter that is a tensor": lambda lib, m: m.register_parameter("p", lib.zeros(1)),
    "parameter taken": lambda lib, m: m.register_parameter("known", lib.nn.Parameter()),
    "parameter with a dot": lambda lib, m: m.register_parameter("a.b", None),
    "parameter without a name": lambda lib, m: m.register_parameter("", None),
    "parameter named by a number": lambda lib, m: m.register_parameter(1, None),
    "parameter that was computed": lambda lib, m: m.register_parameter(
        "p", lib.nn.Parameter(lib.zeros(1)) * 2
    ),
    "buffer of another type": lambda lib, m: m.register_buffer("b", 3),
    "buffer taken": lambda lib, m: m.register_buffer("weight", lib.zeros(1)),
    "buffer with a dot": lambda lib, m: m.register_buffer("a.b", None),
    "buffer without a name": lambda lib, m: m.register_buffer("", None),
    "buffer named by a number": lambda lib, m: m.register_buffer(1, None),
    "module of another type": lambda lib, m: m.add_module("c", 3),
    "module taken": lambda lib, m: m.add_module("weight", lib.nn.ReLU()),
    "module with a dot": lambda lib, m: m.add_module("a.b", lib.nn.ReLU()),
    "module without a name": lambda lib, m: m.add_module("", lib.nn.ReLU()),
    "set parameter to a number": set_attribute("weight", lambda lib: 3),
    "set parameter to a tensor": set_attribute("weight", lambda lib: lib.zeros(1)),
    "set parameter to a module": set_attribute("weight", lambda lib: lib.nn.ReLU()),
    "set parameter to None": set_attribute("weight", lambda lib: None),
    "set child to a number": set_attribute("child", lambda lib: 3),
    "set child to None": set_attribute("child", lambda lib: None),
    "set child to a parameter": set_attribute("child", lambda lib: lib.nn.Parameter()),
    "set buffer to a number": set_attribute("state", lambda lib: 3),
    "set buffer to None": set_attribute("state", lambda lib: None),
    "set buffer to a parameter": set_attribute("state", lambda lib: lib.nn.Parameter()),
    "set buffer to a module": set_attribute("state", lambda lib: lib.nn.ReLU()),
    "set attribute to a parameter": set_attribute("known", lambda lib: lib.nn.Parameter()),
    "set attribute to a buffer": set_attribute("b", lambda lib: lib.nn.Buffer(lib.zeros(1))),
    "hidden buffer": set_attribute("b", lambda lib: lib.nn.Buffer(lib.zeros(1), persistent=False)),
    "missing attribute": lambda lib, m: m.nothing,
    "forward missing": lambda lib, m: m(1),
    "mode of another type": lambda lib, m: m.train(1),
    "delete nothing": lambda lib, m: delattr(m, "nothing"),
    "arguments to Module": lambda lib, m: lib.nn.Module(1),
    "keywords to Module": lambda lib, m: lib.nn.Module(a=1),
}


@pytest.mark.parametrize("name", REGISTRATION)
def test_registration(name):
    same_outcome(lambda lib: registered(lib, REGISTRATION[name]))


def test_assignment_before_init():
    def early(make):
        def run(lib):
            class Early(lib.nn.Module):
                def __init__(self):
                    self.x = make(lib)

            return Early()

        return run

    same_outcome(early(lambda lib: lib.nn.Parameter(lib.zeros(1))))
    same_outcome(early(lambda lib: lib.nn.ReLU()))


PATHS = ["", "block", "block.0", "block.7", "block.0.weight", "head.weight", "conv.bias", "nope"]


@pytest.mark.parametrize("path", [*PATHS, "block.0.running_mean", "block.0.eps"])
@pytest.mark.parametrize("kind", ["submodule", "parameter", "buffer"])
def test_get_by_path(kind, path):
    def run(lib):
        found = getattr(net(lib), f"get_{kind}")(path)
        return found if kind == "submodule" else tuple(found.shape)

    same_outcome(run)


@pytest.mark.parametrize("path", ["", "head", "block.1", "block.new", "nope.new", "conv.weight"])
@pytest.mark.parametrize("strict", [False, True])
def test_set_submodule(path, strict):
    def run(lib):
        model = net(lib)
        model.set_submodule(path, lib.nn.Tanh(), strict)
        return model

    same_outcome(run)


def test_set_submodule_refuses_others():
    same_outcome(lambda lib: net(lib).set_submodule("head", 3))


def names(lib, model):
    shared = lib.nn.Linear(2, 2)
    model.add_module("first", shared)
    model.add_module("second", shared)
    model.add_module("tied", lib.nn.Linear(2, 2))
    model.tied.weight = shared.weight
    model.add_module("absent", None)
    return {
        "modules": [n for n, _ in model.named_modules()],
        "modules again": [n for n, _ in model.named_modules(remove_duplicate=False)],
        "children": [n for n, _ in model.named_children()],
        "parameters": [n for n, _ in model.named_parameters()],
        "parameters again": [n for n, _ in model.named_parameters(remove_duplicate=False)],
        "own parameters": [n for n, _ in model.named_parameters("p", recurse=False)],
        "prefixed": [n for n, _ in model.named_parameters("pre")],
        "buffers": [n for n, _ in model.named_buffers("pre")],
        "state": [(k, tuple(v.shape), str(v.dtype)) for k, v in model.state_dict().items()],
        "prefixed state": list(model.state_dict(prefix="x.")),
        "metadata": dict(model.state_dict()._metadata),
        "text": repr(model),
        "count": len(list(model.modules())),
    }


def test_names_and_state_keys():
    same_outcome(lambda lib: names(lib, net(lib)))


def loading(change, **options):
    def run(lib):
        model = net(lib)
        state = OrderedDict((k, lib.zeros_like(v)) for k, v in model.state_dict().items())
        change(lib, state)
        result = model.load_state_dict(state, **options)
        return result, [bool(v.abs().sum() > 0) for v in model.state_dict().values()]

    return run


CHANGES = {
    "nothing": lambda lib, s: None,
    "missing": lambda lib, s: (s.pop("conv.weight"), s.pop("head.weight")),
    "unexpected": lambda lib, s: s.update(extra=lib.zeros(1), **{"block.0.more": lib.zeros(1)}),
    "unexpected child": lambda lib, s: s.update(**{"conv.a.b": lib.zeros(1)}),
    "both": lambda lib, s: s.update(extra=s.pop("conv.bias")),
    "shape": lambda lib, s: s.update(**{"head.weight": lib.zeros(3, 4), "conv.bias": lib.zeros(1)}),
    "no tensor": lambda lib, s: s.update(**{"head.weight": 3}),
    "old scalar": lambda lib, s: s.update(**{"block.0.num_batches_tracked": lib.zeros(1).long()}),
    "no counter": lambda lib, s: s.pop("block.0.num_batches_tracked"),
    "extra state": lambda lib, s: s.update(_extra_state=1),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [True, False])
@pytest.mark.parametrize("name", CHANGES)
def test_load_state_dict(name, assign, strict):
    same_outcome(loading(CHANGES[name], strict=strict, assign=assign))


def test_load_state_dict_refuses_a_list():
    same_outcome(lambda lib: net(lib).load_state_dict([1, 2]))


def test_messages_name_every_problem():
    """Spelt out once, so that the test above cannot agree on an empty text."""
    model = net(dt)
    state = model.state_dict()
    state["surplus"] = state.pop("head.weight")
    state["conv.bias"] = dt.zeros(5)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "head.weight". \n'
        '\tUnexpected key(s) in state_dict: "surplus". \n'
        "\tsize mismatch for conv.bias: copying a param with shape torch.Size([5]) from "
        "checkpoint, the shape in current model is torch.Size([2])."
    )


def test_to_refuses_integers():
    same_outcome(lambda lib: net(lib).to(lib.int32))


PARAMETER = {
    "text": lambda lib: repr(lib.nn.Parameter(lib.ones(2))),
    "frozen": lambda lib: repr(lib.nn.Parameter(lib.ones(2), requires_grad=False)),
    "empty": lambda lib: tuple(lib.nn.Parameter().shape),
    "of integers": lambda lib: lib.nn.Parameter(lib.zeros(1).long(), requires_grad=False),
    "of a parameter": lambda lib: lib.nn.Parameter(lib.nn.Parameter(lib.ones(1))),
    "is a leaf": lambda lib: lib.nn.Parameter(lib.ones(1, requires_grad=True) * 2).is_leaf,
    "is a tensor": lambda lib: isinstance(lib.nn.Parameter(), lib.Tensor),
    "computed is plain": lambda lib: type(lib.nn.Parameter(lib.ones(1)) + 1) is lib.Tensor,
    "data is plain": lambda lib: type(lib.nn.Parameter(lib.ones(1)).data) is lib.Tensor,
    "detached is plain": lambda lib: type(lib.nn.Parameter(lib.ones(1)).detach()) is lib.Tensor,
    "buffer is a buffer": lambda lib: isinstance(lib.nn.Buffer(lib.ones(1)), lib.nn.Buffer),
    "tensor is no buffer": lambda lib: isinstance(lib.ones(1), lib.nn.Buffer),
    "buffer text": lambda lib: repr(lib.nn.Buffer(lib.ones(1))),
}


@pytest.mark.parametrize("name", PARAMETER)
def test_parameter(name):
    same_outcome(PARAMETER[name])
