"""Attention with dropout, or with heads that share keys: one kernel, where a device has it.

A table may have, specialised for calls of ``scaled_dot_product_attention`` and of its gradient with
one attribute more, ``kept``,

    attention_step(query, key, value, mask, out, sums, *, seed, offset)
    attention_backward_step(grad, query, key, value, mask, out, sums, None, of_query, of_key,
                            of_value, *, seed, offset)

where weights are multiplied by noise, 1 / kept with chance ``kept``, else 0: ``random_noise`` of
the weights' shape (*, L, S), which is drawn where it is wanted and never written. ``sums`` are the
logsumexp of scores without it. Heads (dim -3) of the query are ``group`` times those of key and
value, whose gradients are sums over the heads that share one.

The gradient is one launch of that kind too; one that is to be differentiated itself is made of
operators, with the noise drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, next_sequence
from dovetail.backend.state import state_of
from dovetail.capture import under_way
from dovetail.dispatch import call
from dovetail.kernels import bind_kernel, find_kernel
from dovetail.ops.layers.norm import wide_dtype
from dovetail.ops.randomness.draws import NOISE, draw, stream_of
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["attention_step"]

NAME = "attention_step"

new = object.__new__

_KEPT = 64
"""Plans of a query's spec: a chance or a scale may be another in every call."""

Slopes = Callable[..., tuple[Any, Any]]
"""``slopes(grad, query, key, value, mask, out, sums, None, is_causal, scale, noise)``: the weights
with their noise and the gradient of the scores before they were scaled, in operators."""


def attention_step(
    query: Any, key: Any, value: Any, mask: Any, kept: float, is_causal: bool, scale: float,
    check: Callable[..., None], slopes: Slopes,
) -> Tensor | None:  # fmt: skip
    """The attention; None, and nothing done, where there is no such kernel, or it does not fit.

    Args:
        check: ``check(query, key, value, mask, is_causal)``, which raises where they are wrong.
    """
    spec = query._spec
    plans = spec.memo.get(NAME)
    if plans is None:
        state = state_of(spec.device)
        has_kernel = spec.batch is None and not state.host_arrays and state.table.entries(NAME)
        plans = spec.memo[NAME] = {} if has_kernel else False
    if plans is False or mode.maps or mode.autocast is not None or under_way:
        return None
    if (observe.active and observe.is_watched()) or (mask is not None and mask._node is not None):
        return None
    seen = None if mask is None else mask._spec
    which = (key._spec, value._spec, seen, kept, is_causal, scale)
    plan = plans.get(which)
    if plan is None:
        if len(plans) >= _KEPT:
            plans.clear()
        check(query, key, value, mask, is_causal)
        plan = plans[which] = _plan(spec, *which, slopes) or _packed(spec, *which, slopes) or False
    return plan and plan(query, key, value, mask)  # type: ignore[no-any-return]


def _fits(query: Spec, key: Spec, value: Spec, mask: Spec | None) -> bool:
    """Whether heads are shared, if at all, evenly, and nothing else is repeated but the mask."""
    specs = [s for s in (query, key, value, mask) if s is not None]
    if any(s.device is not query.device or s.batch is not None for s in specs):
        return False
    if key.shape[:-2] != value.shape[:-2] or not query.dtype is key.dtype is value.dtype:
        return False
    lead, shared = query.shape[:-2], key.shape[:-2]
    is_even = lead == shared or (
        len(lead) == len(shared) >= 1 and lead[:-1] == shared[:-1]
        and shared[-1] > 0 and lead[-1] % shared[-1] == 0
    )  # fmt: skip
    if mask is not None:
        seen = (*query.shape[:-1], key.shape[-2])[max(0, query.ndim - mask.ndim) :]
        if mask.ndim > query.ndim or any(
            n not in (1, m) for n, m in zip(mask.shape, seen, strict=True)
        ):
            return False
    return is_even and all(s.numel for s in specs)


def _packed(query: Spec, key: Spec, value: Spec, *others: Any) -> Callable[..., Tensor] | None:
    """The plan for lines that are no neighbours, which are packed."""
    specs = (query, key, value)
    dense = [spec_of(tuple(s.shape), s.dtype, s.device) for s in specs]
    plan = None if all(s.is_contiguous for s in specs) else _plan(*dense, *others)
    if plan is None:
        return None

    def run(query: Any, key: Any, value: Any, mask: Any) -> Tensor:
        return plan(query.contiguous(), key.contiguous(), value.contiguous(), mask)

    return run


def _plan(
    query: Spec, key: Spec, value: Spec, mask: Spec | None, kept: float, is_causal: bool,
    scale: float, slopes: Slopes,
) -> Callable[..., Tensor] | None:  # fmt: skip
    if not _fits(query, key, value, mask):
        return None
    device, state = query.device, state_of(query.device)
    rows = tuple(query.shape[:-1])
    outs = (
        spec_of((*rows, value.shape[-1]), query.dtype, device),
        spec_of(rows, wide_dtype(query.dtype), device),
    )
    attributes = {"is_causal": is_causal, "scale": scale, "kept": kept}
    op = REGISTRY["scaled_dot_product_attention"]
    facts = CallFacts(op, (query, key, value, mask), outs, attributes)
    entry = find_kernel(NAME, facts, query.dtype, state)
    if entry is None:
        return None
    kernel, makers = bind_kernel(entry, facts), [state.maker(s) for s in outs]
    back = _Gradient((query, key, value, mask), outs, attributes, slopes)
    info = BackwardInfo(
        op.name, (), tuple(range(8)), (query, key, value, mask, None, None),
        (back, tuple(range(9))), outs, (1,),
    )  # fmt: skip
    keep, weights = info.keep, outs[1].numel * key.shape[-2]
    assert keep is not None

    def run(query: Any, key: Any, value: Any, mask: Any) -> Tensor:
        seed, offset = stream_of(device, None, weights) if kept != 1 else (0, 0)
        out, sums = (make() for make in makers)
        seen = None if mask is None else mask._materialize()
        arrays = (query._materialize(), key._materialize(), value._materialize(), seen)
        kernel(*arrays, out._array, sums._array, seed=seed, offset=offset)
        edges = (query._node, key._node, value._node)
        if mode.grad and edges != (None, None, None):  # as Recorder.record() does for any call
            node = new(Node)
            node.info, node.sequence, node.next = info, next_sequence(), (*edges, None, None, None)
            node.saved = keep(info, query, key, value, mask, seed, offset, out, sums)
            out._node = node
        return out

    return run


class _Gradient:
    """The gradient of one kind of calls."""

    def __init__(
        self, inputs: tuple[Any, ...], outs: tuple[Spec, Spec], attributes: dict[str, Any],
        slopes: Slopes,
    ) -> None:  # fmt: skip
        self.inputs, self.outs, self.attributes, self.slopes = inputs, outs, attributes, slopes
        self.plans: dict[Spec, Any] = {}

    def __call__(
        self, g: Any, query: Any, key: Any, value: Any, mask: Any, seed: int, offset: int,
        out: Any, sums: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        plan = None if mode.grad else self._of(g._spec)
        if plan is False:
            g = g.contiguous()
            plan = self._of(g._spec)
        if plan:
            made = plan((g, query, key, value, mask, out, sums, None), seed=seed, offset=offset)
            return (*made, None, None, None)
        return self._composed(g, query, key, value, mask, seed, offset, out)

    def _of(self, grad: Spec) -> Any:
        """The plan for gradients of a spec; False: there is none."""
        if grad not in self.plans:
            self.plans[grad] = self._plan(grad) or False
        return self.plans[grad]

    def _plan(self, grad: Spec) -> Callable[..., Any] | None:
        state, specs = state_of(grad.device), self.inputs[:3]
        given = (grad, *self.inputs, *self.outs, None)
        dense = tuple([spec_of(tuple(s.shape), s.dtype, s.device) for s in specs])
        op = REGISTRY["scaled_dot_product_attention_backward"]
        facts = CallFacts(op, given, dense, self.attributes)
        entry = find_kernel("attention_backward_step", facts, grad.dtype, state)
        if entry is None:
            return None
        kernel, makers = bind_kernel(entry, facts), [state.maker(s) for s in dense]

        def run(tensors: Any, **stream: int) -> list[Tensor]:
            made = [make() for make in makers]
            arrays = [None if t is None else t._materialize() for t in tensors]
            kernel(*arrays, *[t._array for t in made], **stream)
            return made

        return run

    def _composed(
        self, g: Any, query: Any, key: Any, value: Any, mask: Any, seed: int, offset: int,
        out: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        kept, scale = self.attributes["kept"], self.attributes["scale"]
        noise: Any = None
        if kept != 1:
            shape = (*self.outs[1].shape, key.shape[-2])
            spec = spec_of(shape, self.outs[1].dtype, query.device)
            noise = draw(NOISE, spec, seed, offset, p=kept, scale=1 / kept)
        kinds = query.dtype
        keys, values = (_for_heads(x, query.shape[-3:-2]) for x in (key, value))
        wide = [x.to(self.outs[1].dtype) for x in (g, query, keys, values)]
        # With a gradient of its own, which what the kernel left has not.
        causal, op = self.attributes["is_causal"], REGISTRY["scaled_dot_product_attention"]
        sums = call(op, (*wide[1:], mask), (causal, scale))[1]
        made_of = (*wide, mask, out.to(wide[0].dtype), sums, None)
        weights, of_scores = self.slopes(*made_of, causal, scale, noise)
        made = (
            of_scores.matmul(wide[2]) * scale,
            of_scores.transpose(-2, -1).matmul(wide[1]) * scale,
            weights.transpose(-2, -1).matmul(wide[0]),
        )
        shapes = (query.shape, key.shape, value.shape)
        summed = [_summed(x, shape).to(kinds) for x, shape in zip(made, shapes, strict=True)]
        return (*summed, None, None, None)


def _for_heads(x: Any, heads: Any) -> Any:
    if x.ndim < 3 or x.shape[-3] == heads[0]:
        return x
    return x.repeat_interleave(heads[0] // x.shape[-3], -3)


def _summed(x: Any, shape: Any) -> Any:
    """The sum over the heads that share one."""
    if tuple(x.shape) == tuple(shape):
        return x
    return x.unflatten(-3, (shape[-3], x.shape[-3] // shape[-3])).sum(-3)
