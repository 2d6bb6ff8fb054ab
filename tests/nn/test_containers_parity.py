"""Containers do and say what PyTorch's do and say."""

from __future__ import annotations

from collections import OrderedDict

import pytest

pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from nn_parity import same_outcome


def items(lib):
    return [lib.nn.ReLU(), lib.nn.Tanh(), lib.nn.ReLU(), lib.nn.Linear(1, 2)]


def sequential(change):
    def run(lib):
        model = lib.nn.Sequential(*items(lib))
        result = change(lib, model)
        return result, model, list(model.state_dict())

    return run


SEQUENTIAL = {
    "index": lambda lib, m: m[-2],
    "index out": lambda lib, m: m[4],
    "slice": lambda lib, m: m[1:3],
    "stepped slice": lambda lib, m: m[::2],
    "set": lambda lib, m: m.__setitem__(1, lib.nn.Sigmoid()),
    "set out": lambda lib, m: m.__setitem__(9, lib.nn.Sigmoid()),
    "delete": lambda lib, m: m.__delitem__(1),
    "delete slice": lambda lib, m: m.__delitem__(slice(0, 2)),
    "pop": lambda lib, m: m.pop(1),
    "append": lambda lib, m: m.append(lib.nn.Sigmoid()),
    "append wrong": lambda lib, m: m.append(3),
    "insert": lambda lib, m: m.insert(1, lib.nn.Sigmoid()),
    "insert at the end": lambda lib, m: m.insert(4, lib.nn.Sigmoid()),
    "insert before the end": lambda lib, m: m.insert(-1, lib.nn.Sigmoid()),
    "insert out": lambda lib, m: m.insert(9, lib.nn.Sigmoid()),
    "insert wrong": lambda lib, m: m.insert(0, 3),
    "extend": lambda lib, m: m.extend(items(lib)),
    "add": lambda lib, m: m + lib.nn.Sequential(lib.nn.Sigmoid()),
    "add wrong": lambda lib, m: m + 3,
    "add to": lambda lib, m: m.__iadd__(lib.nn.Sequential(lib.nn.Sigmoid())),
    "times": lambda lib, m: 2 * m,
    "times zero": lambda lib, m: m * 0,
    "times text": lambda lib, m: m * "a",
    "times to": lambda lib, m: m.__imul__(2),
    "len": lambda lib, m: len(m),
    "dir": lambda lib, m: "0" in dir(m),
}


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequential(name):
    same_outcome(sequential(SEQUENTIAL[name]))


def test_named_sequential():
    def run(lib):
        block = lib.nn.Sequential(lib.nn.ReLU(), lib.nn.Tanh())
        net = lib.nn.Sequential(OrderedDict(first=lib.nn.Linear(1, 2), block=block))
        return net[1:], net[0], net.block[1], len(net), net

    same_outcome(run)


def module_list(change):
    def run(lib):
        model = lib.nn.ModuleList(items(lib))
        result = change(lib, model)
        return result, model, list(model.state_dict()), [type(m).__name__ for m in model]

    return run


MODULE_LIST = {
    "index": lambda lib, m: m[-1],
    "index out": lambda lib, m: m[-5],
    "slice": lambda lib, m: m[1:3],
    "set": lambda lib, m: m.__setitem__(1, lib.nn.Sigmoid()),
    "delete": lambda lib, m: m.__delitem__(-1),
    "delete slice": lambda lib, m: m.__delitem__(slice(1, 3)),
    "pop": lambda lib, m: m.pop(0),
    "append": lambda lib, m: m.append(lib.nn.Sigmoid()),
    "insert": lambda lib, m: m.insert(1, lib.nn.Sigmoid()),
    "extend": lambda lib, m: m.extend(items(lib)),
    "extend wrong": lambda lib, m: m.extend(3),
    "add": lambda lib, m: m + items(lib),
    "add to": lambda lib, m: m.__iadd__(items(lib)),
    "empty": lambda lib, m: lib.nn.ModuleList(),
    "repeated": lambda lib, m: lib.nn.ModuleList(
        lib.nn.Sequential(lib.nn.Linear(1, 1), lib.nn.ReLU()) for _ in range(3)
    ),
    "call": lambda lib, m: m(1),
}


@pytest.mark.parametrize("name", MODULE_LIST)
def test_module_list(name):
    same_outcome(module_list(MODULE_LIST[name]))


def module_dict(change):
    def run(lib):
        model = lib.nn.ModuleDict({"b": lib.nn.ReLU(), "a": lib.nn.Linear(1, 2)})
        result = change(lib, model)
        return result, model, list(model.state_dict())

    return run


MODULE_DICT = {
    "get": lambda lib, m: m["a"],
    "get missing": lambda lib, m: m["c"],
    "set": lambda lib, m: m.__setitem__("c", lib.nn.Tanh()),
    "set over": lambda lib, m: m.__setitem__("b", lib.nn.Tanh()),
    "set wrong": lambda lib, m: m.__setitem__("c", 3),
    "delete": lambda lib, m: m.__delitem__("b"),
    "pop": lambda lib, m: m.pop("b"),
    "clear": lambda lib, m: m.clear(),
    "update": lambda lib, m: m.update({"z": lib.nn.Tanh(), "c": lib.nn.Tanh()}),
    "update by pairs": lambda lib, m: m.update([("z", lib.nn.Tanh()), ["c", lib.nn.Tanh()]]),
    "update wrong": lambda lib, m: m.update(3),
    "update of three": lambda lib, m: m.update([(1, 2, 3)]),
    "views": lambda lib, m: (list(m), list(m.keys()), list(m.values()), list(m.items())),
    "contains": lambda lib, m: ("a" in m, "c" in m, len(m)),
}


@pytest.mark.parametrize("name", MODULE_DICT)
def test_module_dict(name):
    same_outcome(module_dict(MODULE_DICT[name]))


def parameter_list(change):
    def run(lib):
        model = lib.nn.ParameterList([lib.zeros(2), lib.nn.Parameter(lib.ones(3)), "text"])
        result = change(lib, model)
        return result, model, list(model.state_dict()), len(model)

    return run


PARAMETER_LIST = {
    "nothing": lambda lib, m: None,
    "index": lambda lib, m: m[0],
    "index out": lambda lib, m: m[3],
    "slice": lambda lib, m: m[:2],
    "set": lambda lib, m: m.__setitem__(2, lib.zeros(4)),
    "append": lambda lib, m: m.append(lib.zeros(1)),
    "extend": lambda lib, m: m.extend([lib.zeros(1), 5]),
    "extend by a tensor": lambda lib, m: m.extend(lib.zeros(2)),
    "call": lambda lib, m: m(),
}


@pytest.mark.parametrize("name", PARAMETER_LIST)
def test_parameter_list(name):
    same_outcome(parameter_list(PARAMETER_LIST[name]))


def parameter_dict(change):
    def run(lib):
        model = lib.nn.ParameterDict({"b": lib.zeros(2), "a": lib.nn.Parameter(lib.ones(3))})
        model["text"] = "t"
        result = change(lib, model)
        return result, model, list(model.state_dict()), len(model)

    return run


PARAMETER_DICT = {
    "nothing": lambda lib, m: None,
    "get": lambda lib, m: (m["a"], m.get("z", 4), m.get("b")),
    "get missing": lambda lib, m: m["z"],
    "delete": lambda lib, m: m.__delitem__("a"),
    "pop": lambda lib, m: m.pop("b"),
    "popitem": lambda lib, m: m.popitem(),
    "setdefault": lambda lib, m: (m.setdefault("a", 1), m.setdefault("n", lib.zeros(1))),
    "update": lambda lib, m: m.update({"z": lib.zeros(1), "c": lib.zeros(1)}),
    "update in order": lambda lib, m: m.update(OrderedDict(z=lib.zeros(1), c=lib.zeros(1))),
    "update wrong": lambda lib, m: m.update(3),
    "views": lambda lib, m: (list(m), list(reversed(m)), list(m.keys()), list(m.values())),
    "or": lambda lib, m: m | lib.nn.ParameterDict({"b": lib.zeros(5)}),
    "from keys": lambda lib, m: m.fromkeys(["q", "r"], 3),
    "copy": lambda lib, m: m.copy(),
    "clear": lambda lib, m: m.clear(),
    "call": lambda lib, m: m(1),
}


@pytest.mark.parametrize("name", PARAMETER_DICT)
def test_parameter_dict(name):
    same_outcome(parameter_dict(PARAMETER_DICT[name]))
