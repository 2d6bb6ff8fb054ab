"""Hooks of modules: which run, in which order, with what, and what they may change."""

from __future__ import annotations

import copy
import pickle

import pytest

import dovetail as dt
import dovetail.nn
from dovetail.nn import hooks


class Twice(dt.nn.Module):
    """Doubles its input and adds ``more``; fails on request."""

    def forward(self, x, more=0, fail=False):
        if fail:
            raise ValueError("forward failed")
        return x * 2 + more


class Pair(dt.nn.Module):
    def forward(self, x, y):
        return x * 2, y * 3


def x_of(value=1.0, requires_grad=False):
    return dt.tensor([value], requires_grad=requires_grad)


def test_forward_pre_hook_changes_arguments():
    module = Twice()
    seen = []
    handle = module.register_forward_pre_hook(lambda m, args: seen.append((m, args)))
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    x = x_of()
    assert module(x).item() == 4.0
    assert seen == [(module, (x,))]
    handle.remove()
    handle.remove()
    module(x)
    assert len(seen) == 1


def test_forward_pre_hook_with_keywords():
    module = Twice()
    module.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"more": kwargs["more"] + 1}), with_kwargs=True
    )
    assert module(x_of(), more=5).item() == 8.0
    module.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(
        RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs"
    ):
        module(x_of(), more=5)


def test_forward_hook_changes_the_output():
    module = Twice()
    module.register_forward_hook(lambda m, args, out: out + 1)
    module.register_forward_hook(
        lambda m, args, kwargs, out: out * kwargs["more"], with_kwargs=True
    )
    assert module(x_of(), more=10).item() == 130.0


def test_order_of_hooks_and_prepend():
    module = Twice()
    order = []

    def note(name):
        return lambda *args: order.append(name)

    module.register_forward_pre_hook(note("pre 1"))
    module.register_forward_pre_hook(note("pre 2"))
    module.register_forward_pre_hook(note("pre 0"), prepend=True)
    module.register_forward_hook(note("post 1"))
    module.register_forward_hook(note("post 0"), prepend=True)
    with (
        hooks.register_module_forward_pre_hook(note("global pre")),
        hooks.register_module_forward_hook(note("global post")),
    ):
        module(x_of())
    assert order == ["global pre", "pre 0", "pre 1", "pre 2", "global post", "post 0", "post 1"]
    assert not hooks.call_hooks


def test_global_hooks_reach_every_module():
    seen = []
    model = dt.nn.Sequential(Twice(), Twice())
    with hooks.register_module_forward_hook(
        lambda m, args, kwargs, out: seen.append((type(m).__name__, kwargs)), with_kwargs=True
    ):
        model(x_of())
    model(x_of())
    assert seen == [("Twice", {}), ("Twice", {}), ("Sequential", {})]


def test_always_called_hook_runs_after_an_error():
    module = Twice()
    seen = []
    module.register_forward_hook(lambda m, args, out: seen.append("never"))
    module.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    module.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(kwargs), always_call=True, with_kwargs=True
    )
    with (
        hooks.register_module_forward_hook(lambda m, a, out: seen.append("g"), always_call=True),
        pytest.raises(ValueError, match="forward failed"),
    ):
        module(x_of(), fail=True)
    assert seen == ["g", None, {"fail": True}]


def test_always_called_hook_runs_once_and_its_error_does_not_hide_the_first():
    module = Twice()
    runs = []

    def count_then_fail(m, args, out):
        runs.append(out is None)
        if out is None:
            raise KeyError("from the hook")

    def fail(m, args, out):
        raise ValueError("second hook failed")

    module.register_forward_hook(count_then_fail, always_call=True)
    handle = module.register_forward_hook(fail)
    with pytest.raises(ValueError, match="second hook failed"):
        module(x_of())
    assert runs == [False]
    handle.remove()
    with (
        pytest.warns(UserWarning, match="silenced as another error was raised in forward"),
        pytest.raises(ValueError, match="forward failed"),
    ):
        module(x_of(), fail=True)
    assert runs == [False, True]


def test_full_backward_hook_sees_both_gradients():
    module = Twice()
    seen = []
    module.register_full_backward_hook(lambda m, gin, gout: seen.append((m, gin, gout)))
    x = x_of(3.0, requires_grad=True)
    (module(x) * 5).sum().backward()
    ((owner, grad_input, grad_output),) = seen
    assert owner is module
    assert [g.item() for g in grad_input] == [10.0]
    assert [g.item() for g in grad_output] == [5.0]
    assert x.grad.item() == 10.0


def test_full_backward_hook_replaces_the_gradient():
    module = Twice()
    module.register_full_backward_hook(lambda m, gin, gout: (gin[0] + 100,))
    module.register_full_backward_hook(lambda m, gin, gout: (gin[0] * 2,), prepend=True)
    x = x_of(requires_grad=True)
    module(x).sum().backward()
    assert x.grad.item() == 104.0


def test_full_backward_pre_hook_replaces_the_output_gradient():
    module = Twice()
    module.register_full_backward_pre_hook(lambda m, gout: (gout[0] * 3,))
    x = x_of(requires_grad=True)
    module(x).sum().backward()
    assert x.grad.item() == 6.0


def test_backward_hook_of_several_inputs_and_outputs():
    module = Pair()
    seen = []
    module.register_full_backward_hook(lambda m, gin, gout: seen.append((gin, gout)))
    x, y = x_of(requires_grad=True), x_of()
    first, second = module(x, y)
    (first + second).sum().backward()
    ((grad_input, grad_output),) = seen
    # As in PyTorch: zeros for an input, None for an output that needs no gradient.
    assert [g.item() for g in grad_input] == [2.0, 0.0]
    assert grad_output[0].item() == 1.0
    assert grad_output[1] is None
    assert y.grad is None


def test_backward_hooks_count_what_is_returned():
    x = x_of(requires_grad=True)
    module = Twice()
    handle = module.register_full_backward_hook(lambda m, gin, gout: (None, None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        module(x).sum().backward()
    handle.remove()
    module.register_full_backward_pre_hook(lambda m, gout: ())
    with pytest.raises(RuntimeError, match="invalid number of grad_output, got 0, but expected 1"):
        module(x).sum().backward()


def test_backward_hook_without_input_gradients():
    module = dt.nn.Sequential(Twice())
    module.scale = dt.nn.Parameter(dt.ones(1))
    module.forward = lambda x: x * module.scale
    seen = []
    module.register_full_backward_hook(lambda m, gin, gout: seen.append((gin, gout[0].item())))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        module(x_of()).sum().backward()
    assert seen == [((None,), 1.0)]


def test_backward_hook_is_not_run_by_second_order_gradients():
    class Cube(dt.nn.Module):
        def forward(self, x):
            return x * x * x

    module = Cube()
    seen = []
    module.register_full_backward_hook(lambda m, gin, gout: seen.append(gin[0].item()))
    x = x_of(2.0, requires_grad=True)
    (first,) = dt.autograd.grad(module(x).sum(), x, create_graph=True)
    first.sum().backward()
    assert x.grad.item() == 12.0
    assert seen == [12.0]  # the first order's 3x²; the second's 6x does not pass the output


def test_backward_hooks_do_nothing_without_gradients():
    module = Twice()
    module.register_full_backward_hook(lambda m, gin, gout: pytest.fail("no gradient here"))
    x = x_of(requires_grad=True)
    with dt.no_grad():
        assert module(x).item() == 2.0
    assert module(x_of()).item() == 2.0


def test_backward_hook_wants_tensors():
    module = dt.nn.Module()
    module.forward = lambda x: {"value": x}
    module.register_full_backward_hook(lambda m, gin, gout: None)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple of Tensors"):
        module(x_of(requires_grad=True))


def test_global_backward_hooks():
    seen = []
    x = x_of(requires_grad=True)
    with (
        hooks.register_module_full_backward_hook(lambda m, gin, gout: seen.append("hook")),
        hooks.register_module_full_backward_pre_hook(lambda m, gout: seen.append("pre")),
    ):
        Twice()(x).sum().backward()
    Twice()(x).sum().backward()
    assert seen == ["pre", "hook"]


def test_registration_hooks_replace_what_is_registered():
    def parameter(module, name, value):
        return dt.nn.Parameter(value.detach() + 1)

    with (
        hooks.register_module_parameter_registration_hook(parameter),
        hooks.register_module_buffer_registration_hook(lambda m, n, b: b * 10),
        hooks.register_module_module_registration_hook(lambda m, n, c: dt.nn.Tanh()),
    ):
        module = dt.nn.Module()
        module.p = dt.nn.Parameter(dt.ones(1))
        module.register_buffer("b", dt.ones(1))
        module.c = dt.nn.ReLU()
        module.add_module("d", dt.nn.ReLU())
    assert module.p.item() == 2.0
    assert module.b.item() == 10.0
    assert type(module.c) is type(module.d) is dt.nn.Tanh


def test_state_dict_hooks():
    model = dt.nn.Sequential(dt.nn.PReLU())
    order = []
    model[0].register_state_dict_pre_hook(lambda m, prefix, keep: order.append(("pre", prefix)))

    def post(module, state, prefix, metadata):
        order.append(("post", prefix, metadata["version"]))
        state[prefix + "added"] = dt.zeros(1)

    handle = model[0].register_state_dict_post_hook(post)
    assert list(model.state_dict()) == ["0.weight", "0.added"]
    assert order == [("pre", "0."), ("post", "0.", 1)]
    handle.remove()
    model.register_state_dict_post_hook(lambda *args: {})
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        model.state_dict()


def test_load_state_dict_hooks_rename_and_forgive():
    model = dt.nn.Sequential(dt.nn.PReLU())

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        assert module is model[0]
        state[prefix + "weight"] = state.pop(prefix + "slope")

    model[0].register_load_state_dict_pre_hook(rename)
    model.load_state_dict({"0.slope": dt.tensor([7.0])})
    assert model[0].weight.item() == 7.0
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"1\.more"'):
        model.load_state_dict({"0.slope": dt.tensor([7.0]), "1.more": dt.zeros(1)})
    model.register_load_state_dict_post_hook(lambda m, keys: keys.unexpected_keys.clear())
    model.load_state_dict({"0.slope": dt.tensor([8.0]), "1.more": dt.zeros(1)})
    assert model[0].weight.item() == 8.0


def test_hooks_change_a_copy_of_the_given_dict():
    layer = dt.nn.PReLU()
    layer.register_load_state_dict_pre_hook(lambda m, state, *rest: state.pop("more"))
    given = {"weight": dt.tensor([7.0]), "more": 1}
    layer.load_state_dict(given)
    assert list(given) == ["weight", "more"]


def test_load_state_dict_post_hook_must_return_nothing():
    model = dt.nn.ReLU()
    model.register_load_state_dict_post_hook(lambda m, keys: keys)
    with pytest.raises(AssertionError, match="not expected to return new values"):
        model.load_state_dict({})


def add_one(module, args, output):
    return output + 1


def test_hooks_survive_copies_and_handles_belong_to_the_original():
    module = Twice()
    handle = module.register_forward_hook(add_one)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert twin(x_of()).item() == 3.0
        twin.register_forward_hook(add_one)
        assert twin(x_of()).item() == 4.0
    handle.remove()
    assert module(x_of()).item() == 2.0


def test_module_may_use_attributes_of_a_hooked_copy():
    """Deep copies run the hooks with the copy, not with the original."""
    module = dt.nn.Sequential(dt.nn.PReLU())
    owners = []
    module.register_load_state_dict_pre_hook(lambda m, *rest: owners.append(m))
    twin = copy.deepcopy(module)
    twin.load_state_dict(module.state_dict())
    assert owners == [twin]
