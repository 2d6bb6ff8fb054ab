"""Ways of our own beside each other, where a measurement has to choose: the figure of the way that
is taken comes first, that of the other second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from cuda_cases import Cases, random, set_tf32
from cuda_measure import Row, compare, differences

__all__ = ["attentions", "biases", "convolutions_of_float64"]

Sides = tuple[Any, Any]


def _both(row: Row, sides: Sides, taken: list[Any], other: list[Any], seconds: float) -> None:
    row.difference = differences(taken[0](), other[0]())
    compare(row, (sides[0], taken), (sides[0], other), seconds=seconds)


def attentions(sides: Sides, scale: int, seconds: float) -> Cases:
    """Attention of float32 by tiles, and by products with scores in memory."""
    from dovetail_cuda.kernels import composed_attention as composed

    shape = (8, 12, 1024 // scale, 64)
    function = sides[0].torch.nn.functional.scaled_dot_product_attention
    grad = sides[0].torch.autograd.grad

    def runner(*, backward: bool) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            ways: list[list[Any]] = []
            # A plan is made once for each scale, so that one that is next to it gets another.
            for tiled, factor in ((composed.TILED, 0.125), ((), 0.1250001)):
                before, composed.TILED = composed.TILED, tiled
                try:
                    calls = []
                    for _ in range(3):
                        *leaves, g = (random(sides, *shape)[0][0] for _ in range(4))
                        for leaf in leaves:
                            leaf.requires_grad_(backward)
                        call = partial(function, *leaves, is_causal=True, scale=factor)
                        y = call()
                        if backward:
                            call = partial(grad, y, leaves, g, retain_graph=True)
                            call()
                        calls.append(call)
                    ways.append(calls)
                finally:
                    composed.TILED = before
            compare(row, (sides[0], ways[0]), (sides[0], ways[1]), seconds=seconds)

        return run

    for backward in (False, True):
        name = f"attention fp32 {'backward' if backward else 'forward'}: tiles, products"
        yield Row(name, 1.0), runner(backward=backward)


def biases(sides: Sides, shapes: Any, seconds: float) -> Cases:
    """Convolutions with their bias in cuDNN's graph, and with a launch that adds it."""
    from dovetail import ops

    def runner(mode: str, case: Any) -> Callable[[Row], None]:
        shape, filters, size, stride, padding = case
        options = {
            "stride": (stride, stride), "padding": (padding, padding), "dilation": (1, 1),
            "groups": 1,
        }  # fmt: skip

        def run(row: Row) -> None:
            dtype = "bfloat16" if mode == "bfloat16" else "float32"
            set_tf32(sides, is_on=mode == "tf32")
            x = random(sides, *shape, dtype=dtype)[0][0]
            w = random(sides, filters, shape[1], size, size, dtype=dtype)[0][0]
            b = random(sides, filters, dtype=dtype)[0][0]
            across = b.view(1, filters, 1, 1)
            fused = lambda: ops.conv(x, w, b, **options)
            apart = lambda: ops.conv(x, w, None, **options).add_(across)
            _both(row, sides, [fused], [apart], seconds)

        return run

    for mode in ("tf32", "bfloat16"):
        for case in shapes:
            name = f"{mode} conv {'x'.join(map(str, case[0]))} to {case[1]}, bias: fused, apart"
            yield Row(name, 1.0), runner(mode, case)
    set_tf32(sides, is_on=False)


def convolutions_of_float64(device: str) -> list[tuple[str, str]]:
    """What cuDNN's plans of float64 compute, by operation: right, or by which factor they are off.

    The front end gives factors of float32 to a convolution (1.18); plans of float64 that read
    float64 there are all wrong.
    """
    import dovetail as dt
    from dovetail import ops
    from dovetail_cuda import dnn
    from dovetail_cuda.kernels.cudnn import WAYS, W, X, Y
    from dovetail_kernels.device import device_of

    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    given = {
        uid: dt.randn(*shape, dtype=dt.float64, device=device)
        for uid, shape in ((X, (2, 8, 9, 9)), (W, (16, 8, 3, 3)), (Y, (2, 16, 9, 9)))
    }
    library = dnn.front_end()
    if library is None:
        return [("front end", f"NOT DONE: {dnn.declined.get('all', 'it is not there')}")]
    here = device_of(given[X].device)
    wanted = {
        "conv": ops.conv(given[X], given[W], None, groups=1, **options),
        "conv_grad_input": ops.conv_grad_input(
            given[Y], given[W], input_shape=given[X].shape, groups=1, **options
        ),
        "conv_grad_weight": ops.conv_grad_weight(
            given[Y], given[X], weight_shape=given[W].shape, groups=1, **options
        ),
    }
    said = []
    for name, expected in wanted.items():
        way = WAYS[name]
        uids = (*way.inputs, way.output)
        out = dt.zeros(*expected.shape, dtype=dt.float64, device=device)
        arrays = {uid: given[uid] for uid in way.inputs} | {way.output: out}
        tensors = [dnn.Tensor(u, tuple(arrays[u].shape), arrays[u].stride(), "float64")
                   for u in uids]  # fmt: skip

        def draw(graph: Any, inputs: list[Any], way: Any = way) -> list[Any]:
            taken = {word: inputs[way.inputs.index(uid)] for word, uid in way.takes.items()}
            return [getattr(graph, way.draws)(
                **taken, pre_padding=[1, 1], post_padding=[1, 1], stride=[1, 1], dilation=[1, 1],
            )]  # fmt: skip

        graph = dnn.build(here, "float64", tensors[:2], draw, tensors[2:], dnn.choice(), name)
        if graph is None:
            said.append((name, f"no plan: {dnn.declined.get(name)}"))
            continue
        graph({uid: array.data_ptr() for uid, array in arrays.items()})
        found, right = (np.asarray(t.cpu().numpy()).ravel() for t in (out, expected))
        error = float(np.abs(found - right).max() / np.abs(right).max())
        factor = float(found @ right / (right @ right))
        fits = float(np.abs(found - factor * right).max() / np.abs(right).max())
        said.append(
            (name, f"off by {error:.1e}; {factor:.6g} times what it should be, to {fits:.1e}")
        )
    return said
