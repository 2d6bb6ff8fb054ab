"""Resampling, grids, folds, rare poolings and bags of embeddings beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from functions_beside import compare  # noqa: E402
from nn_parity import array, copy_state, given, outcome, quietly, same_outcome  # noqa: E402

RNG = np.random.default_rng(6)


def F(lib):
    return lib.nn.functional


def real(*shape):
    return RNG.standard_normal(shape)


def on(lib, values, like):
    """An array of indices beside another tensor."""
    return lib.tensor(values) if lib is torch else lib.tensor(values, device=like.device)


# interpolate

IMAGES = {3: real(2, 3, 7), 4: real(2, 2, 7, 5), 5: real(1, 2, 4, 5, 3)}
MODES = {
    3: ("nearest", "nearest-exact", "linear", "area"),
    4: ("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
    5: ("nearest", "nearest-exact", "trilinear", "area"),
}
RESIZED = [
    (n, mode, corners)
    for n, modes in MODES.items()
    for mode in modes
    for corners in ((True, False) if mode.endswith(("linear", "cubic")) else (None,))
]


@pytest.mark.parametrize(("n", "mode", "corners"), RESIZED)
def test_interpolate(n, mode, corners, device):
    same = tuple(IMAGES[n].shape[2:])
    sizes = [{"size": size} for size in (1, 3, 9, tuple(range(4, 2 + n)), same)]
    # PyTorch's gradient of nearest in three dims goes astray for factors such as 2.3.
    sizes += [{"scale_factor": f} for f in (0.6, 1.7, 2, (0.5, 3.0, 1.0)[: n - 2])]
    sizes += [{"scale_factor": 1.7, "recompute_scale_factor": True}]
    for size in sizes:
        keywords = {**size, "mode": mode, "align_corners": corners}
        compare(
            lambda lib, x, k=keywords: F(lib).interpolate(x, **k), (IMAGES[n],), device,
            second=False,
        )  # fmt: skip


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialiased(mode, device):
    for corners in (False, True)[: 1 if mode == "lanczos" else 2]:
        for size in ({"size": 2}, {"size": (9, 3)}, {"scale_factor": 0.4}, {"scale_factor": 1.7}):
            keywords = {**size, "mode": mode, "align_corners": corners, "antialias": True}
            compare(
                lambda lib, x, k=keywords: F(lib).interpolate(x, **k), (real(2, 1, 11, 8),),
                device, second=False,
            )  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_interpolate_twice(mode, device):
    compare(lambda lib, x: F(lib).interpolate(x, size=6, mode=mode) ** 2, (IMAGES[4],), device)


KEPT = {
    # PyTorch's kernel for small images with nearest goes by the sizes, others by the factor.
    "nearest": [
        ((1, 2, 3), 1.3), ((1, 2, 3), 2.3), ((1, 2, 3, 4), (1.3, 1.05)), ((1, 2, 3, 4), (2.2, 2.3)),
        ((1, 2, 40, 88), (1.005, 1.003)), ((1, 1, 40, 89), (1.005, 1.003)),
        ((1, 1, 60, 40), (2.005, 2.003)), ((1, 1, 3, 4, 2), (1.3, 1.2, 1.7)),
    ],
    "nearest-exact": [((1, 2, 3), 1.3), ((1, 2, 3, 7), (1.3, 1.1)), ((1, 1, 3, 4, 2), 1.2)],
    "linear": [((1, 2, 3), 1.3)],
    "bilinear": [((1, 2, 3, 7), 1.1), ((1, 2, 3, 7), (1.3, 1.5))],
    "bicubic": [((1, 2, 3, 7), 1.1), ((1, 2, 3, 7), (1.3, 1.5))],
    "lanczos": [((1, 2, 3, 7), 1.1), ((1, 2, 3, 7), (1.3, 0.7))],
    "trilinear": [((1, 1, 3, 4, 2), (1.3, 1.2, 1.7))],
}  # fmt: skip


@pytest.mark.parametrize("mode", KEPT)
def test_a_factor_that_keeps_a_size(mode, device):
    """The gradient is held against the values (both are linear in the image): PyTorch's goes by
    the factor where its values go by the sizes, and the other way round."""
    waves = {"bilinear": (False, True), "bicubic": (False, True), "lanczos": (True,)}
    for shape, factor in KEPT[mode]:
        for antialias in waves.get(mode, (False,)):
            given, keywords = real(*shape), {"scale_factor": factor, "antialias": antialias}
            expected = F(torch).interpolate(torch.tensor(given), mode=mode, **keywords)
            x = dt.tensor(given, device=device, requires_grad=True)
            made = F(dt).interpolate(x, mode=mode, **keywords)
            np.testing.assert_allclose(array(made), array(expected), 1e-9, 1e-9)
            factors = dt.tensor(real(*made.shape), device=device)
            (made * factors).sum().backward()
            sums = ((made * factors).sum().item(), (x * x.grad).sum().item())
            assert sums[0] == pytest.approx(sums[1], rel=1e-9)


BYTES = {
    "nearest": (None, False),
    "nearest-exact": (None, False),
    "bilinear": (False, False),
    "bilinear corners": (True, False),
    "bilinear antialiased": (False, True),
    "bicubic": (False, False),
    "bicubic corners": (True, False),
    "bicubic antialiased": (False, True),
    "lanczos antialiased": (False, True),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_are_pytorchs(name, device):
    corners, antialias = BYTES[name]
    keywords = {"mode": name.split()[0], "align_corners": corners, "antialias": antialias}
    for channels in (3, 5):  # PyTorch has a kernel for up to four
        image = RNG.integers(0, 256, (2, channels, 19, 16)).astype(np.uint8)
        for sharp in (image, np.where(image > 127, 255, 0).astype(np.uint8)):
            for size in ((5, 23), (19, 40), (3, 2), (50, 16)):
                expected = F(torch).interpolate(torch.tensor(sharp), size, **keywords)
                made = F(dt).interpolate(dt.tensor(sharp, device=device), size, **keywords)
                assert made.dtype is dt.uint8
                np.testing.assert_array_equal(array(made), array(expected))
            for factor in (0.37, (1.01, 2.3)):
                keywords_of = {"scale_factor": factor, **keywords}
                expected = F(torch).interpolate(torch.tensor(sharp), **keywords_of)
                made = F(dt).interpolate(dt.tensor(sharp, device=device), **keywords_of)
                np.testing.assert_array_equal(array(made), array(expected))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_halves(mode, device):
    x = real(1, 2, 5, 5).astype(np.float16)
    expected = F(torch).interpolate(torch.tensor(x), 7, mode=mode)
    made = F(dt).interpolate(dt.tensor(x, device=device), 7, mode=mode)
    assert made.dtype is dt.float16
    np.testing.assert_allclose(array(made), array(expected), 2e-3, 2e-3)


def test_float32_places_are_pytorchs(device):
    """Factors whose places in float32 differ from those in float64."""
    x = np.arange(49, dtype=np.float32).reshape(1, 1, 49)
    for factor in (0.1, 1.1, 2.3, 3.3333, 7 / 3):
        for mode in ("nearest", "nearest-exact"):
            compare(
                lambda lib, x, f=factor, m=mode: F(lib).interpolate(x, scale_factor=f, mode=m),
                (x,), device, second=False,
            )  # fmt: skip


# grids


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding, corners, device):
    def run(lib, x, grid):
        return F(lib).grid_sample(x, grid, mode, padding, corners)

    grid = RNG.uniform(-1.7, 1.7, (2, 3, 4, 2))
    second = mode == "bilinear" and padding == "border"
    compare(run, (real(2, 3, 5, 4), grid), device, second=second)
    compare(run, (real(2, 1, 1, 1), grid), device, second=False)
    arrays = (real(2, 3, 5, 4).astype(np.float32), grid.astype(np.float32))
    compare(run, arrays, device, 5e-5, second=False)
    if mode != "bicubic":
        volume = RNG.uniform(-1.7, 1.7, (2, 2, 3, 2, 3))
        compare(run, (real(2, 2, 3, 4, 5), volume), device, second=False)


@pytest.mark.parametrize("corners", [True, False])
def test_affine_grid(corners, device):
    for size, shape in (((2, 3, 4, 5), (2, 2, 3)), ((2, 1, 3, 4, 5), (2, 3, 4))):
        compare(lambda lib, t, s=size: F(lib).affine_grid(t, s, corners), (real(*shape),), device)
    one = (1, 1, 1, 3)
    quietly(
        lambda: compare(
            lambda lib, t: F(lib).affine_grid(t, one, corners), (real(1, 2, 3),), device
        )
    )


def test_default_corners_warn():
    for run in (
        lambda: F(dt).grid_sample(dt.zeros(1, 1, 2, 2), dt.zeros(1, 1, 1, 2)),
        lambda: F(dt).affine_grid(dt.zeros(1, 2, 3), (1, 1, 2, 2)),
    ):
        with pytest.warns(UserWarning, match="behavior has changed to align_corners=False"):
            run()


# folds and rare poolings

FUNCTIONS = {
    "unfold": [
        (lambda lib, x: F(lib).unfold(x, (2, 3), (1, 2), (1, 0), (2, 1)), (2, 3, 6, 7)),
        (lambda lib, x: F(lib).unfold(x, 2), (3, 4, 4)),
        (lambda lib, x: F(lib).unfold(x, [3, 3], padding=1), (0, 2, 4, 4)),
    ],
    "fold": [
        (lambda lib, x: F(lib).fold(x, (4, 5), (2, 2), 1, 1, 2), (2, 12, 9)),
        (lambda lib, x: F(lib).fold(x, 4, 2), (4, 9)),
    ],
    "lp_pool": [
        (lambda lib, x: F(lib).lp_pool1d(x.abs() + 0.1, 3.0, 2, 1), (2, 3, 7)),
        (lambda lib, x: F(lib).lp_pool2d(x, 2, (2, 3), ceil_mode=True), (2, 3, 7, 8)),
        (lambda lib, x: F(lib).lp_pool2d(x, float("inf"), 2), (2, 3, 7, 8)),
        (lambda lib, x: F(lib).lp_pool2d(x, -float("inf"), 2), (3, 7, 8)),
        (lambda lib, x: F(lib).lp_pool3d(x, 2, 2, 1), (2, 2, 3, 4, 3)),
    ],
    "with_indices": [
        (lambda lib, x: F(lib).max_pool1d_with_indices(x, 2, 1), (2, 3, 7)),
        (lambda lib, x: F(lib).max_pool2d_with_indices(x, kernel_size=3, padding=1), (2, 3, 7, 6)),
        (lambda lib, x: F(lib).max_pool3d_with_indices(x, 2), (2, 2, 4, 5, 6)),
        (lambda lib, x: F(lib).adaptive_max_pool1d_with_indices(x, 3), (2, 3, 7)),
        (lambda lib, x: F(lib).adaptive_max_pool2d_with_indices(x, (3, None)), (2, 3, 7, 6)),
        (lambda lib, x: F(lib).adaptive_max_pool3d_with_indices(x, 2), (2, 4, 5, 6)),
    ],
    "conv_tbc": [
        (lambda lib, x: lib.conv_tbc(x, x[:2, :, :].transpose(1, 2) * 1, x[0, :, 0], 1), (5, 3, 3)),
    ],
    "native_channel_shuffle": [
        # PyTorch has no gradient of it.
        (lambda lib, x: (F(lib).native_channel_shuffle(x.detach(), 3), x * 1), (2, 6, 3, 2)),
        (lambda lib, x: (lib.native_channel_shuffle(x.detach(), 2), x * 1), (2, 6, 3)),
    ],
}


# PyTorch has no mean of three dims in float16.
ZEROS = [(n, kind) for kind in ("float64", "float32", "float16") for n in (1, 2, 3)][:-1]


@pytest.mark.parametrize(("n", "kind"), ZEROS)
def test_norm_pooling_of_zeros(n, kind, device):
    """As after a ReLU; and what is so small that its power is 0."""
    mixed = np.zeros((1, 1, *[4] * n))
    mixed.reshape(-1)[-2:] = 1
    for power in (1, 1.5, 2, 3, 4):
        for x in (mixed, mixed * 0, mixed * 0 + 1e-4):
            compare(
                lambda lib, x, p=power: getattr(F(lib), f"lp_pool{n}d")(x, p, 2),
                (x.astype(kind),), device, 4e-3 if kind == "float16" else 3e-5, second=False,
            )  # fmt: skip


@pytest.mark.parametrize("keywords", [{}, {"padding": 1}, {"ceil_mode": True}, {"stride": 1}])
def test_means_of_a_volume_smaller_than_the_window(keywords, device):
    """PyTorch refuses it in three dims, however much padding there is."""
    for kernel in (5, (2, 5, 2), (2, 2, 4)):
        with pytest.raises(RuntimeError) as theirs:
            F(torch).avg_pool3d(torch.ones(1, 3, 4, 3), kernel, **keywords)
        with pytest.raises(RuntimeError) as mine:
            F(dt).avg_pool3d(dt.ones(1, 3, 4, 3, device=device), kernel, **keywords)
        assert str(mine.value) == str(theirs.value)
    for n in (1, 2):  # and takes it in one or two
        shape = (1, *[3] * n)
        room = {"padding": 1} if keywords in ({}, {"stride": 1}) else {}
        compare(
            lambda lib, x, n=n, k={**keywords, **room}: getattr(F(lib), f"avg_pool{n}d")(x, 5, **k),
            (real(*shape),), device, second=False,
        )  # fmt: skip


def unpooled(n, **keywords):
    def run(lib, x):
        pooled, indices = getattr(F(lib), f"max_pool{n}d")(x, 2, 2, return_indices=True)
        return getattr(F(lib), f"max_unpool{n}d")(
            pooled * 2, indices, 2, output_size=x.shape[-n:], **keywords
        )

    return run


FUNCTIONS["max_unpool"] = [
    (unpooled(1), (2, 3, 7)),
    (unpooled(2), (2, 3, 6, 5)),
    (unpooled(2), (3, 6, 5)),
    (unpooled(3, stride=2), (2, 2, 4, 5, 2)),
]


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, kind, device):
    exact = kind == "float64"
    for run, shape in FUNCTIONS[name]:
        arrays = (real(*shape).astype(kind),)
        second = exact and name not in ("conv_tbc", "lp_pool")
        compare(run, arrays, device, 1e-9 if exact else 5e-5, second)


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_pooling(n, device):
    x = real(2, 3, *(8, 7, 6)[-n:])
    samples = RNG.random((2, 3, n))
    name = f"fractional_max_pool{n}d"
    for keywords in (
        {"output_size": 3},
        {"output_ratio": (0.5,) * n},
        {"output_size": 1},
        {"output_size": (2, 3, 4)[:n], "return_indices": True},
    ):

        def run(lib, x, places, k=keywords):
            return getattr(F(lib), name)(x, 2, _random_samples=places.detach(), **k)

        compare(run, (x, samples), device, second=False)
        made = getattr(F(dt), f"{name}_with_indices")(dt.tensor(x, device=device), 2, **keywords)
        values = dt.tensor(x, device=device).flatten(2).gather(2, made[1].flatten(2))
        assert dt.equal(values.reshape(made[0].shape), made[0])


# layers

LAYERS = {
    "Fold": ["(4, 5), 2", "(4, 5), kernel_size=(2, 2), dilation=1, padding=1, stride=2"],
    "Unfold": ["2", "(2, 3), dilation=2, padding=(1, 0), stride=2"],
    "Upsample": ["3", "scale_factor=2", "scale_factor=(2, 1.5), mode='bilinear'", "(3, 4)"],
    "UpsamplingNearest2d": ["scale_factor=2", "(3, 5)"],
    "UpsamplingBilinear2d": ["scale_factor=2", "size=3"],
    "LPPool1d": ["2, 3", "1.5, 2, stride=1, ceil_mode=True"],
    "LPPool2d": ["2, (3, 2)"],
    "LPPool3d": ["2, 2"],
    "MaxUnpool1d": ["2", "3, 2, 1"],
    "MaxUnpool2d": ["2", "(3, 2), stride=(2, 1)"],
    "MaxUnpool3d": ["2"],
    "FractionalMaxPool2d": [
        "3, output_size=2",
        "2, output_ratio=0.5",
        "2",
        "2, 2, 0.5",
        "2, None, 2",
    ],
    "FractionalMaxPool3d": [
        "3, output_size=(2, 1, 3)",
        "2, output_ratio=0.5",
        "0, 2",
        "2, None, 1",
    ],
    "EmbeddingBag": [
        "5, 3",
        "5, 3, max_norm=2.0, norm_type=1.0, scale_grad_by_freq=True, mode='sum', padding_idx=-1",
        "5, 3, padding_idx=7",
    ],
}


def build(lib, name, args):
    return quietly(lambda: eval(f"nn.{name}({args})", {"nn": lib.nn}))


@pytest.mark.parametrize(("name", "args"), [(n, a) for n, cases in LAYERS.items() for a in cases])
def test_text_and_state(name, args):
    def run(lib):
        layer = build(lib, name, args)
        facts = [(k, tuple(v.shape), str(v.dtype)) for k, v in layer.state_dict().items()]
        return repr(layer), facts, sorted(k for k in vars(layer) if not k.startswith("_"))

    same_outcome(run)


RUNS = {
    "Fold((4, 5), 2)": (2, 12, 12),
    "Unfold(2, padding=1)": (2, 3, 4, 4),
    "Upsample(scale_factor=2, mode='bilinear', align_corners=True)": (2, 3, 4, 3),
    "UpsamplingNearest2d(scale_factor=2)": (2, 3, 4, 3),
    "UpsamplingBilinear2d(size=3)": (2, 3, 4, 5),
    "LPPool1d(3, 2)": (2, 3, 6),
    "LPPool2d(2, (3, 2))": (2, 3, 6, 6),
    "LPPool3d(2, 2)": (2, 2, 3, 4, 4),
}


@pytest.mark.parametrize("text", RUNS)
def test_layers_compute(text, device):
    layers = {
        lib: quietly(lambda lib=lib: eval(f"nn.{text}", {"nn": lib.nn})) for lib in (torch, dt)
    }
    x = np.abs(real(*RUNS[text])) + 0.1
    compare(lambda lib, x: layers[lib](x), (x,), device, second=False)


def test_unpooling_layers(device):
    for n, shape in ((1, (2, 3, 6)), (2, (2, 3, 6, 4)), (3, (2, 2, 4, 4, 2))):

        def run(lib, x, n=n):
            pool = getattr(lib.nn, f"MaxPool{n}d")(2, return_indices=True)
            return getattr(lib.nn, f"MaxUnpool{n}d")(2)(*pool(x))

        compare(run, (real(*shape),), device)


# bags of embeddings

BAGS = {
    "offsets": (np.array([1, 2, 4, 5, 2, 2, 1]), np.array([0, 2, 2, 5])),
    "rows": (np.array([[1, 2], [3, 3]]), None),
    "int32": (np.array([1, 2, 3], np.int32), np.array([0, 3, 3], np.int32)),
    "nothing": (np.zeros(0, np.int64), np.array([0, 0])),
}
OPTIONS = {
    "plain": {},
    "padding": {"padding_idx": 2},
    "last": {"include_last_offset": True},
    "norm": {"max_norm": 1.0},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("bag", BAGS)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode, bag, option, device):
    indices, offsets = BAGS[bag]
    keywords = dict(OPTIONS[option])
    if "include_last_offset" in keywords and offsets is not None:
        offsets = np.append(offsets, len(indices)).astype(offsets.dtype)
    weighted = [None, real(*indices.shape)] if mode == "sum" else [None]
    for factors in weighted:

        def run(lib, table, *parts):
            rows = table * 1
            if "max_norm" in keywords:
                with lib.no_grad():
                    rows = table.clone()
                rows.requires_grad_()
            starts = None if offsets is None else on(lib, offsets, table)
            made = F(lib).embedding_bag(
                on(lib, indices, table), rows, starts, mode=mode,
                per_sample_weights=parts[0] if parts else None, **keywords,
            )  # fmt: skip
            return made, rows.detach(), table * 1

        arrays = (real(6, 3),) if factors is None else (real(6, 3), factors)
        compare(run, arrays, device, second=option == "plain" and mode != "max")


def test_gradients_by_frequency(device):
    """PyTorch divides by the counts of other rows, where an index comes more than once."""
    table = dt.tensor(real(4, 2), device=device).requires_grad_()
    indices = dt.tensor([1, 2, 1, 1], device=device)
    starts = dt.tensor([0, 3], device=device)
    F(dt).embedding_bag(
        indices, table, starts, mode="sum", scale_grad_by_freq=True
    ).sum().backward()
    assert table.grad.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


def test_bag_layer(device):
    theirs = torch.nn.EmbeddingBag(6, 3, mode="sum", padding_idx=1).double()
    mine = dt.nn.EmbeddingBag(6, 3, mode="sum", padding_idx=1).double().to(device)
    assert not mine.weight[1].any()
    copy_state(theirs, mine, device)
    indices = torch.tensor([[0, 1, 5], [2, 2, 1]])
    np.testing.assert_allclose(array(mine(given(indices, device))), array(theirs(indices)), 1e-12)
    table = torch.randn(4, 2)
    kept = dt.nn.EmbeddingBag.from_pretrained(given(table, device), mode="max")
    assert not kept.weight.requires_grad
    expected = torch.nn.EmbeddingBag.from_pretrained(table, mode="max")(torch.tensor([[0, 3]]))
    made = kept(dt.tensor([[0, 3]], device=device))
    np.testing.assert_array_equal(array(made), array(expected))


def z(lib, *shape):
    return lib.zeros(*shape)


SAME_CLASS = {
    "no size": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4)),
    "size and factor": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), 2, 2),
    "sizes": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), (2, 2, 2)),
    "factors": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), scale_factor=(2, 2, 2)),
    "a size of 0": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), 0),
    "nothing in it": lambda lib: F(lib).interpolate(z(lib, 1, 1, 0, 4), 2),
    "no channels": lambda lib: F(lib).interpolate(z(lib, 1, 0, 4, 4), 2),
    "mode": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), 2, mode="x"),
    "mode of others": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4, 4), 2, mode="linear"),
    "dims": lambda lib: F(lib).interpolate(z(lib, 1, 4), 2),
    "corners": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4), 2, align_corners=True),
    "recompute": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4), 2, recompute_scale_factor=True),
    "antialias": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4), 2, antialias=True),
    "integers": lambda lib: F(lib).interpolate(z(lib, 1, 1, 4).long(), 2),
    "grid mode": lambda lib: F(lib).grid_sample(z(lib, 1, 1, 2, 2), z(lib, 1, 1, 1, 2), "x"),
    "grid padding": lambda lib: F(lib).grid_sample(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 1, 2), padding_mode="x"
    ),
    "grid width": lambda lib: F(lib).grid_sample(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 1, 3), align_corners=True
    ),
    "grid batch": lambda lib: F(lib).grid_sample(
        z(lib, 1, 1, 2, 2), z(lib, 2, 1, 1, 2), align_corners=True
    ),
    "grid dims": lambda lib: F(lib).grid_sample(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 2), align_corners=True
    ),
    "grid dtype": lambda lib: F(lib).grid_sample(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 1, 2).double(), align_corners=True
    ),
    "theta": lambda lib: F(lib).affine_grid(z(lib, 1, 2, 2), (1, 1, 2, 2), True),
    "theta's dtype": lambda lib: F(lib).affine_grid(z(lib, 1, 2, 3).long(), (1, 1, 2, 2), True),
    "grid's size": lambda lib: F(lib).affine_grid(z(lib, 1, 2, 3), (1, 2, 2), True),
    "unfold window": lambda lib: F(lib).unfold(z(lib, 1, 3, 4, 4), 5),
    "unfold stride": lambda lib: F(lib).unfold(z(lib, 1, 3, 4, 4), 2, stride=0),
    "unfold kernel": lambda lib: F(lib).unfold(z(lib, 1, 3, 4, 4), (2, 2, 2)),
    "unfold integers": lambda lib: F(lib).unfold(z(lib, 1, 3, 4, 4).long(), 2),
    "fold rows": lambda lib: F(lib).fold(z(lib, 1, 11, 9), (4, 4), 2),
    "fold blocks": lambda lib: F(lib).fold(z(lib, 1, 12, 8), (4, 4), 2),
    "unpool size": lambda lib: F(lib).max_unpool2d(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 2, 2).long(), 2, output_size=(7, 7)
    ),
    "unpool index": lambda lib: F(lib).max_unpool2d(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 2, 2).long() + 16, 2
    ),
    "unpool dtype": lambda lib: F(lib).max_unpool2d(
        z(lib, 1, 1, 2, 2), z(lib, 1, 1, 2, 2).int(), 2
    ),
    "fraction of nothing": lambda lib: F(lib).fractional_max_pool2d(z(lib, 1, 1, 4, 4), 2),
    "fraction window": lambda lib: F(lib).fractional_max_pool2d(z(lib, 1, 1, 4, 4), 5, 2),
    "norm of 0": lambda lib: F(lib).lp_pool2d(z(lib, 1, 4, 4), 0, 2),
    "bag offsets": lambda lib: F(lib).embedding_bag(
        lib.tensor([0, 1]), z(lib, 3, 2), lib.tensor([1])
    ),
    "bag index": lambda lib: F(lib).embedding_bag(lib.tensor([[0.0]]), z(lib, 3, 2)),
    "bag mode": lambda lib: F(lib).embedding_bag(lib.tensor([[0]]), z(lib, 3, 2), mode="x"),
    "bag without offsets": lambda lib: F(lib).embedding_bag(lib.tensor([0]), z(lib, 3, 2)),
    "bag weights": lambda lib: F(lib).embedding_bag(
        lib.tensor([[0]]), z(lib, 3, 2), per_sample_weights=z(lib, 1, 1)
    ),
    "bag padding": lambda lib: F(lib).embedding_bag(lib.tensor([[0]]), z(lib, 3, 2), padding_idx=5),
}


@pytest.mark.filterwarnings("ignore:Default grid_sample")
@pytest.mark.parametrize("name", SAME_CLASS)
def test_errors_of_the_same_class(name):
    # dovetail's Unsupported is a NotImplementedError, its OutOfRangeError a RuntimeError.
    made = outcome(SAME_CLASS[name], dt)[0].replace("Unsupported", "NotImplementedError")
    made = made.replace("OutOfRangeError", "RuntimeError")
    assert made == outcome(SAME_CLASS[name], torch)[0] != "value"
