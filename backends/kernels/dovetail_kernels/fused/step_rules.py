"""Steps of optimizers by rules: ``src/step_rules.cl`` says what one does with an element, a table
here which arrays and numbers it takes. The launches are those of ``steps``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_kernels.fused.steps import queue_step

__all__ = ["enter"]

Made = tuple[dict[str, Sequence[float]], dict[str, float]]


@dataclass(frozen=True)
class Rule:
    """A kernel of the core's list (``dovetail.ops.layers.optimizer_steps``).

    Attributes:
        arrays: a letter for each list of state, in the kernel's order.
        optional: letters of lists that may be empty, and the macro that says that one is not.
        made: from the call's keywords to (lists of a number for each tensor, numbers of all).
    """

    arrays: str
    made: Callable[[dict[str, Any]], Made]
    optional: tuple[tuple[str, str], ...] = ()


def _slope(given: dict[str, Any]) -> dict[str, float]:
    sign = -1.0 if given["maximize"] else 1.0
    return {"sign": sign, "weight_decay": given.get("weight_decay", 0.0)}


def _means(given: dict[str, Any]) -> dict[str, float]:
    """What keeps two running means."""
    beta1, beta2 = given["beta1"], given["beta2"]
    shares = {"share1": 1 - beta1, "beta2": beta2, "share2": 1 - beta2}
    return {**shares, "eps": given["eps"], "shrink": given.get("shrink", 1.0), **_slope(given)}


def _adamax(given: dict[str, Any]) -> Made:
    return {"rate": given["rates"]}, _means(given)


def _nadam(given: dict[str, Any]) -> Made:
    names = {"rate": "gradient_rates", "ahead": "mean_rates", "correction": "corrections"}
    return {name: given[of] for name, of in names.items()}, _means(given)


def _radam(given: dict[str, Any]) -> Made:
    return {"rate": given["rates"], "rectified": given["rectified"]}, _means(given)


def _adagrad(given: dict[str, Any]) -> Made:
    return {"rate": given["rates"]}, {"eps": given["eps"], **_slope(given)}


def _adadelta(given: dict[str, Any]) -> Made:
    own = {"rho": given["rho"], "share": 1 - given["rho"]}
    return {}, {"lr": given["lr"], "eps": given["eps"], **own, **_slope(given)}


def _rmsprop(given: dict[str, Any]) -> Made:
    own = {"alpha": given["alpha"], "share": 1 - given["alpha"], "momentum": given["momentum"]}
    return {}, {"lr": given["lr"], "eps": given["eps"], **own, **_slope(given)}


def _rprop(given: dict[str, Any]) -> Made:
    names = ("less", "more", "smallest", "largest")
    return {}, {**{name: given[name] for name in names}, "sign": _slope(given)["sign"]}


def _asgd(given: dict[str, Any]) -> Made:
    rates = given["rates"]
    shrinks = [1 - given["lambd"] * rate for rate in rates]
    return {"rate": rates, "weight": given["weights"], "shrink": shrinks}, _slope(given)


def _lerp(given: dict[str, Any]) -> Made:
    return {}, {"weight": given["weight"]}


RULES = {
    "adamax": Rule("mu", _adamax),
    "nadam": Rule("mv", _nadam),
    "radam": Rule("mv", _radam),
    "adagrad": Rule("s", _adagrad),
    "adadelta": Rule("vd", _adadelta),
    "rmsprop": Rule("vbm", _rmsprop, (("b", "HAS_BUFFER"), ("m", "HAS_MEAN"))),
    "rprop": Rule("bs", _rprop),
    "asgd": Rule("a", _asgd),
    "lerp": Rule("", _lerp),
}
"""By the kernel's name without ``_step``."""


def _macros(arrays: Sequence[str], each: Sequence[str], same: Sequence[str]) -> dict[str, Any]:
    """What ``src/steps.cl`` knows arrays and numbers by."""
    state = "".join(f", global T *{a}##t" for a in arrays)
    places = "".join(f", Numbers at_{a}" for a in arrays)
    return {
        "BUFFERS(t)": f"global T *p##t, global const T *g##t{state}",
        "EACH_ARRAY(DO, t)": " ".join(f"DO({a}, t)" for a in ("p", *arrays)),
        "PLACES": f"Numbers at_p, Numbers at_g{places}",
        "RATES": ", ".join([f"Rates of_{n}" for n in each] + [f"T {n}" for n in same]),
        "OF_TENSOR": " ".join(f"T {n} = 0;" for n in each),
        "TENSOR(t)": " ".join(f"{n} = of_{n}.at[t];" for n in each),
        "TENSOR_KNOWN": "",
    }


def _step(name: str) -> Callable[..., None]:
    rule = RULES[name]
    known: dict[tuple[bool, ...], dict[str, Any]] = {}

    def step(params: Any, grads: Any, *state: Any, **given: Any) -> None:
        lists = [params, grads, *(arrays for arrays in state if arrays)]
        of_each, of_all = rule.made(given)
        has = tuple([bool(arrays) for arrays in state])
        macros = known.get(has)
        if macros is None:
            there = [a for a, is_there in zip(rule.arrays, has, strict=True) if is_there]
            macros = known[has] = {
                f"IS_{name.upper()}": 1,
                "NAME": name,
                **{macro: int(letter in there) for letter, macro in rule.optional},
                **_macros(there, [*of_each], [*of_all]),
            }
        kind = np.dtype(params[0].dtype.numpy)

        def numbers(start: int, stop: int, many: int) -> list[Any]:
            padding = [0.0] * (many - stop + start)
            each = [np.array([*v[start:stop], *padding], kind) for v in of_each.values()]
            return [*each, *map(kind.type, of_all.values())]

        same = None if of_each else (*of_all.values(),)
        queue_step(lists, name, macros, numbers, same, before=("step_rules",))

    return step


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in RULES:
        table.add(f"{name}_step", _step(name), dtypes=(float32, float64))
