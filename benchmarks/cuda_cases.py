"""The operators that ``cuda_acceptance.py`` compares: products, convolutions, rows, Adam.

Every function yields ``(row, run)``: ``run(row)`` measures and fills the row. Inputs are PyTorch's
random numbers, the same on both sides; results are compared in passing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cuda_measure import Row, Side, compare, differences, sets_of

__all__ = ["Sides", "adam", "attention", "convolutions", "copies", "products", "rows"]

Sides = tuple[Side, Side]
"""Ours and PyTorch's."""
Cases = Iterator[tuple[Row, Callable[[Row], Any]]]

MODES = ("float32", "tf32", "bfloat16")
SHORT = {"float32": "fp32", "tf32": "tf32", "bfloat16": "bf16"}


def set_tf32(sides: Sides, *, is_on: bool) -> None:
    """Whether float32's products and convolutions may round their operands to 10 bits."""
    for side in sides:
        side.torch.backends.cuda.matmul.allow_tf32 = is_on
        side.torch.backends.cudnn.allow_tf32 = is_on


def random(sides: Sides, *shape: int, dtype: str = "float32", count: int = 1) -> list[Any]:
    """``count`` pairs (ours, theirs) of equal tensors with normal numbers."""
    ours, theirs = sides
    pairs = []
    for _ in range(count):
        made = theirs.torch.randn(*shape, device=theirs.device)
        made = made.to(getattr(theirs.torch, dtype))
        pairs.append((ours.take(made), made))
    return pairs


def _run(
    row: Row, sides: Sides, calls: tuple[list[Any], list[Any]], seconds: float, check: bool = True
) -> None:
    if check:
        row.difference = differences(calls[0][0](), calls[1][0]())
    compare(row, (sides[0], calls[0]), (sides[1], calls[1]), seconds=seconds)


def products(sides: Sides, sizes: tuple[int, ...], seconds: float) -> Cases:
    """Square matrix products in float32, in float32 by TF32, and in bfloat16."""

    def case(n: int, mode: str) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            set_tf32(sides, is_on=mode == "tf32")
            dtype = "bfloat16" if mode == "bfloat16" else "float32"
            count = sets_of(2 * n * n * (2 if mode == "bfloat16" else 4))
            left = random(sides, n, n, dtype=dtype, count=count)
            right = random(sides, n, n, dtype=dtype, count=count)
            calls = tuple(
                [lambda a=a[s], b=b[s]: a @ b for a, b in zip(left, right, strict=True)]
                for s in (0, 1)
            )
            _run(row, sides, calls, seconds)

        return run

    for mode in MODES:
        for n in sizes:
            yield Row(f"matmul {n} {mode}", 1.03, work=2.0 * n**3), case(n, mode)
    set_tf32(sides, is_on=False)


RESNET = (
    # input, filters, kernel, stride, padding: the convolutions of ResNet-50, each shape once
    ((64, 3, 224, 224), 64, 7, 2, 3),
    ((64, 64, 56, 56), 64, 3, 1, 1),
    ((64, 64, 56, 56), 256, 1, 1, 0),
    ((64, 128, 56, 56), 128, 3, 2, 1),
    ((64, 512, 28, 28), 128, 1, 1, 0),
    ((64, 256, 14, 14), 256, 3, 1, 1),
    ((64, 1024, 14, 14), 2048, 1, 2, 0),
    ((64, 512, 7, 7), 512, 3, 1, 1),
)
VGG = (
    ((1, 3, 512, 512), 64, 3, 1, 1),
    ((1, 64, 512, 512), 64, 3, 1, 1),
    ((1, 128, 256, 256), 128, 3, 1, 1),
    ((1, 256, 128, 128), 256, 3, 1, 1),
    ((1, 512, 64, 64), 512, 3, 1, 1),
)
SMALL = (((2, 3, 32, 32), 8, 3, 2, 1), ((2, 8, 16, 16), 8, 3, 1, 1))
"""For a rehearsal without a GPU."""


def convolutions(sides: Sides, shapes: Any, modes: tuple[str, ...], seconds: float) -> Cases:
    """Convolutions and both of their gradients."""
    for mode in modes:
        for shape in shapes:
            yield from _convolution(sides, mode, shape, seconds)
    set_tf32(sides, is_on=False)


def _convolution(sides: Sides, mode: str, case: Any, seconds: float) -> Cases:
    shape, filters, size, stride, padding = case
    n, c, h, w = shape
    out = [(v + 2 * padding - size) // stride + 1 for v in (h, w)]
    kept: dict[str, Any] = {}  # tensors, made for the first of the three and dropped by the last

    def tensors() -> tuple[Any, Any, Any]:
        if not kept:
            dtype = "bfloat16" if mode == "bfloat16" else "float32"
            count = sets_of((n * c * h * w) * 4)
            kept["x"] = random(sides, *shape, dtype=dtype, count=count)
            kept["w"] = random(sides, filters, c, size, size, dtype=dtype, count=count)
            kept["g"] = random(sides, n, filters, *out, dtype=dtype, count=count)
        return kept["x"], kept["w"], kept["g"]

    def ours(what: str, x: Any, w: Any, g: Any) -> Any:
        from dovetail import ops

        options = {
            "stride": (stride, stride), "padding": (padding, padding), "dilation": (1, 1),
            "groups": 1,
        }  # fmt: skip
        if what == "forward":
            return ops.conv(x, w, None, **options)
        if what == "grad input":
            return ops.conv_grad_input(g, w, input_shape=shape, **options)
        return ops.conv_grad_weight(g, x, weight_shape=tuple(w.shape), **options)

    def theirs(what: str, x: Any, w: Any, g: Any) -> Any:
        torch = sides[1].torch
        if what == "forward":
            return torch.conv2d(x, w, None, stride, padding)
        wanted = [what == "grad input", what == "grad weight", False]
        found = torch.ops.aten.convolution_backward(
            g, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, wanted
        )
        return found[0] if wanted[0] else found[1]

    def runner(what: str) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            set_tf32(sides, is_on=mode == "tf32")
            sets = list(zip(*tensors(), strict=True))
            calls = tuple(
                [lambda x=x[s], w=w[s], g=g[s], call=call: call(what, x, w, g) for x, w, g in sets]
                for s, call in enumerate((ours, theirs))
            )
            try:
                _run(row, sides, calls, seconds)
            finally:
                if what == "grad weight":
                    kept.clear()

        return run

    work = 2.0 * n * filters * out[0] * out[1] * c * size * size
    for what in ("forward", "grad input", "grad weight"):
        if what == "grad input" and c == 3:
            continue  # a network asks no gradient of its pictures
        name = f"conv {'x'.join(map(str, shape))} {size}x{size}/{stride} to {filters}"
        yield Row(f"{SHORT[mode]} {name} {what}", 1.1, work=work), runner(what)


def rows(sides: Sides, scale: int, seconds: float, bandwidth: float) -> Cases:
    """Softmax, layer norm and a loss over rows, as GPT-2 small asks for them; forward, backward."""

    def case(
        name: str, shape: tuple[int, ...], dtype: str, function: Callable[[Any, Any], Any],
        extra: tuple[tuple[int, ...], ...] = (), passes: tuple[int, int] = (2, 3),
    ) -> Cases:  # fmt: skip
        nbytes = 2 if dtype == "bfloat16" else 4
        numel = 1
        for d in shape:
            numel *= d

        def prepared() -> Any:
            count = sets_of(numel * nbytes * 2)
            return [
                (
                    random(sides, *shape, dtype=dtype)[0],
                    [random(sides, *e, dtype=dtype)[0] for e in extra],
                )
                for _ in range(count)
            ]

        def forward(row: Row) -> None:
            sets = prepared()
            calls = tuple(
                [
                    lambda x=x[s], e=tuple(v[s] for v in e), t=sides[s].torch: function(t, (x, *e))
                    for x, e in sets
                ]
                for s in (0, 1)
            )
            _run(row, sides, calls, seconds)
            row.share = row.work / row.ours / 1e6 / bandwidth

        def backward(row: Row) -> None:
            sets = prepared()
            calls: tuple[list[Any], list[Any]] = ([], [])
            for x, e in sets:
                grad: Any = None
                for s in (1, 0):
                    leaves = [v[s].requires_grad_(True) for v in (x, *e)]
                    y = function(sides[s].torch, leaves)
                    if grad is None:
                        made = sides[1].torch.randn_like(y)
                        grad = (sides[0].take(made), made)
                    calls[s].append(
                        lambda y=y, leaves=leaves, g=grad[s], t=sides[s].torch: t.autograd.grad(
                            y, leaves, g, retain_graph=True
                        )
                    )
            _run(row, sides, calls, seconds)
            row.share = row.work / row.ours / 1e6 / bandwidth

        yield (
            Row(f"{name} {SHORT[dtype]} forward", 1.1, work=passes[0] * numel * nbytes, unit="B"),
            (forward),
        )
        yield (
            Row(f"{name} {SHORT[dtype]} backward", 1.1, work=passes[1] * numel * nbytes, unit="B"),
            (backward),
        )

    lines, width, length, words = 8192 // scale, 768, 1024 // scale, 50257 // scale
    for dtype in ("float32", "bfloat16"):
        yield from case(
            f"softmax ({12 * lines}, {length})", (12 * lines, length), dtype,
            lambda t, v: t.nn.functional.softmax(v[0], -1),
        )  # fmt: skip
        yield from case(
            f"layer_norm ({lines}, {width})", (lines, width), dtype,
            lambda t, v: t.nn.functional.layer_norm(v[0], (width,), v[1], v[2]),
            ((width,), (width,)),
        )  # fmt: skip
        yield from case(
            f"gelu ({lines}, {4 * width})", (lines, 4 * width), dtype,
            lambda t, v: t.nn.functional.gelu(v[0]),
        )  # fmt: skip
    yield from case(
        f"log_softmax ({lines // 2}, {words})", (lines // 2, words), "float32",
        lambda t, v: t.nn.functional.log_softmax(v[0], -1),
    )  # fmt: skip


def attention(sides: Sides, scale: int, seconds: float) -> Cases:
    """Scaled dot-product attention of GPT-2 small, causal: 8 sequences of 1024, 12 heads of 64."""
    shape = (8, 12, 1024 // scale, 64)
    work = 2 * 2.0 * shape[0] * shape[1] * shape[2] ** 2 * shape[3] / 2

    def made(dtype: str, *, backward: bool) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            calls: tuple[list[Any], list[Any]] = ([], [])
            for _ in range(4):
                sets = [random(sides, *shape, dtype=dtype)[0] for _ in range(4)]
                for s in (0, 1):
                    q, k, v = (t[s].requires_grad_(backward) for t in sets[:3])
                    g, torch = sets[3][s], sides[s].torch

                    def forward(q: Any = q, k: Any = k, v: Any = v, torch: Any = torch) -> Any:
                        return torch.nn.functional.scaled_dot_product_attention(
                            q, k, v, is_causal=True
                        )

                    if not backward:
                        calls[s].append(forward)
                        continue
                    y = forward()
                    calls[s].append(
                        lambda y=y, leaves=(q, k, v), g=g, torch=torch: torch.autograd.grad(
                            y, leaves, g, retain_graph=True
                        )
                    )
            _run(row, sides, calls, seconds)

        return run

    for dtype in ("bfloat16", "float32"):
        for backward in (False, True):
            name = f"attention {'x'.join(map(str, shape))} {SHORT[dtype]} "
            name += "backward" if backward else "forward"
            yield (
                Row(name, 1.1, work=work * (2.5 if backward else 1)),
                made(dtype, backward=backward),
            )


def gpt2_shapes(scale: int) -> list[tuple[int, ...]]:
    """The shapes of GPT-2 small's parameters, 124 million numbers."""
    width, words = 768 // scale, 50257 // scale
    block = [
        (width,), (width,), (3 * width, width), (3 * width,), (width, width), (width,), (width,),
        (width,), (4 * width, width), (4 * width,), (width, 4 * width), (width,),
    ]  # fmt: skip
    return [(words, width), (1024, width), *(12 * block), (width,), (width,)]


def adam(sides: Sides, scale: int, seconds: float, bandwidth: float) -> Cases:
    """A step of Adam and AdamW over GPT-2 small; bytes are 4 read and 3 written per number."""
    shapes = gpt2_shapes(scale)
    total = 0
    for shape in shapes:
        numel = 1
        for d in shape:
            numel *= d
        total += numel

    def made(kind: str) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            calls: tuple[list[Any], list[Any]] = ([], [])
            ends: list[Any] = []
            pairs = [random(sides, *shape, count=2) for shape in shapes]
            for s in (0, 1):
                side = sides[s]
                params = [side.torch.nn.Parameter(value[s]) for value, _ in pairs]
                for p, (_, grad) in zip(params, pairs, strict=True):
                    p.grad = grad[s]
                fused = {"fused": True} if s else {}
                rule = getattr(side.torch.optim, kind)(params, lr=1e-4, **fused)
                rule.step()
                ends.append(params[2])
                calls[s].append(rule.step)
            row.difference = differences(*ends)
            _run(row, sides, calls, seconds, check=False)
            row.share, row.least = row.work / row.ours / 1e6 / bandwidth, 0.85
            row.more["PyTorch's share"] = f"{100 * row.work / row.theirs / 1e6 / bandwidth:.1f} %"

        return run

    for kind in ("Adam", "AdamW"):
        yield (
            Row(f"{kind}, {total / 1e6:.0f} million numbers", 1.1, work=28.0 * total, unit="B"),
            (made(kind)),
        )


def copies(side: Side, nbytes: int) -> float:
    """Bytes per millisecond / 1e6 (GB/s) that a large copy on the device reads and writes."""
    torch = side.torch
    pairs = [
        (torch.ones(nbytes // 4, device=side.device), torch.empty(nbytes // 4, device=side.device))
        for _ in range(2)
    ]
    calls = [lambda a=a, b=b: b.copy_(a) for a, b in pairs]
    side.timed(calls, 6)
    best = min(side.timed(calls, 6) for _ in range(5))
    return 2 * nbytes / best / 1e6
