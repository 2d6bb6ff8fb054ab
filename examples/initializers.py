"""Where training begins: every initialiser, three ways to use them, and the Glorot condition.

    python examples/initializers.py [--device DEVICE] [--width 512] [--layers 6] [--out FILE.png]

Glorot and Bengio (AISTATS 2010): a deep network learns well where every layer has activations of
one variance, and gradients of one variance. Printed are all initialisers beside what they should
give; drawn, with matplotlib (``pip install -e ".[demo]"``), the histograms of activations and
gradients by layer, with a start that keeps the condition and with one that does not.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dovetail as torch
from dovetail import nn

INS, OUTS = 300, 200
P_EYE, P_DIRAC = 1 / INS, 1 / (16 * 9)  # shares of ones
VAR_CUT = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))  # N(0, 1) in ±2

INITIALISERS: list[tuple[str, dict[str, Any], str, float, float]] = [
    ("constant_", {"val": 0.3}, "0.3", 0.3, 0.0),
    ("zeros_", {}, "0", 0.0, 0.0),
    ("ones_", {}, "1", 1.0, 0.0),
    ("eye_", {}, "identity", P_EYE, math.sqrt(P_EYE * (1 - P_EYE))),
    ("dirac_", {}, "identity of channels", P_DIRAC, math.sqrt(P_DIRAC * (1 - P_DIRAC))),
    ("uniform_", {"a": -0.1, "b": 0.1}, "U(-0.1, 0.1)", 0.0, 0.2 / math.sqrt(12)),
    ("normal_", {"std": 0.02}, "N(0, 0.02^2)", 0.0, 0.02),
    ("trunc_normal_", {}, "N(0, 1) within -2, 2", 0.0, math.sqrt(VAR_CUT)),
    ("sparse_", {"sparsity": 0.9}, "N(0, 0.01^2), 90 % zeros", 0.0, 0.01 * math.sqrt(0.1)),
    ("orthogonal_", {}, "W W^T = 1", 0.0, math.sqrt(1 / INS)),
    ("xavier_uniform_", {}, "U(±sqrt(6 / (in + out)))", 0.0, math.sqrt(2 / (INS + OUTS))),
    ("xavier_normal_", {}, "N(0, 2 / (in + out))", 0.0, math.sqrt(2 / (INS + OUTS))),
    ("kaiming_uniform_", {"nonlinearity": "relu"}, "U(±sqrt(6 / in))", 0.0, math.sqrt(2 / INS)),
    ("kaiming_normal_", {"nonlinearity": "relu"}, "N(0, 2 / in)", 0.0, math.sqrt(2 / INS)),
]
"""Name, arguments, what it draws, and the mean and standard deviation that this should have."""


def standard_(weight: torch.Tensor) -> torch.Tensor:
    """U(±1/√n), as ``nn.Linear`` begins: right for one layer, too small for many."""
    bound = weight.shape[1] ** -0.5
    return nn.init.uniform_(weight, -bound, bound)


def kaiming_relu_(weight: torch.Tensor) -> torch.Tensor:
    """U(±√(6/n)): twice Xavier's variance, for ReLU lets half of the values through."""
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")


CASES: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("tanh, U(±1/√n)", torch.tanh, standard_),
    ("tanh, Xavier", torch.tanh, nn.init.xavier_uniform_),
    ("ReLU, Xavier", torch.relu, nn.init.xavier_uniform_),
    ("ReLU, Kaiming", torch.relu, kaiming_relu_),
]
"""A nonlinearity, and how the weights before it begin."""


def table(device: torch.device) -> str:
    """Every initialiser: what it draws, and the mean and deviation expected and found."""
    lines = [f"{'nn.init':<18}{'draws':<28}{'mean':>8}{'found':>9}{'std':>9}{'found':>9}"]
    for name, arguments, what, mean, std in INITIALISERS:
        shape = (16, 16, 3, 3) if name == "dirac_" else (OUTS, INS)
        weight = getattr(nn.init, name)(torch.empty(shape, device=device), **arguments)
        found = f"{weight.mean().item():>9.4f}{std:>9.4f}{weight.std().item():>9.4f}"
        lines.append(f"{name:<18}{what:<28}{mean:>8.4f}{found}")
    return "\n".join(lines)


def three_ways() -> bool:
    """Initialise a network layer by layer, by ``apply`` and by ``modules``: is it the same?"""

    def begin(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)

    found = []
    for way in ("nn.init", "apply", "modules"):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        torch.manual_seed(0)
        if way == "nn.init":
            for layer in (model[0], model[1], model[3]):
                begin(layer)
        elif way == "apply":
            model.apply(begin)
        else:
            for module in model.modules():
                begin(module)
        found.append(nn.utils.parameters_to_vector(model.parameters()).tolist())
    return found[0] == found[1] == found[2]


def flow(
    nonlinearity: Callable[..., Any],
    begin: Callable[..., Any],
    width: int,
    layers: int,
    device: torch.device,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """By layer, the activations, and the gradients of what the nonlinearity is given."""
    # Small, for the derivation takes tanh where it is nearly the identity.
    x = 0.3 * torch.randn(200, width, device=device)
    activations, states = [], []
    for _ in range(layers):
        state = x @ begin(torch.empty(width, width, device=device)).t()
        states.append(state.requires_grad_())
        state.retain_grad()
        x = nonlinearity(state)
        activations.append(x.detach().cpu().numpy().ravel())
    x.backward(torch.randn(x.shape, device=device))
    return activations, [state.grad.cpu().numpy().ravel() for state in states]


def draw(path: Path, flows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]]) -> None:
    """Histograms of activations and gradients, and below the variances of all layers."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Is the variance the same in every layer? (Glorot and Bengio, 2010)")
    axes: Any = figure.subplots(3, len(flows))
    for column, (title, kinds) in enumerate(flows.items()):
        for row, (kind, values) in enumerate(zip(("activations", "gradients"), kinds, strict=True)):
            ax = axes[row, column]
            edge = 3 * max(v.std() for v in values)
            for layer, v in enumerate(values):
                counts, edges = np.histogram(v, bins=60, range=(-edge, edge))
                color = colormaps["viridis"](layer / len(values))
                share = counts / v.size
                ax.plot((edges[1:] + edges[:-1]) / 2, share, color=color, label=f"{layer + 1}")
            ax.set(title=title if row == 0 else None, xlabel=kind, yscale="log")
            ax.set(ylim=(1e-4, 1.5))
            ax.locator_params(axis="x", nbins=5)
            variances = [v.var() for v in values]
            axes[2, column].plot(range(1, len(values) + 1), variances, marker="o", label=kind)
        axes[2, column].set(yscale="log", xlabel="layer", ylim=(1e-5, 10))
        axes[2, column].legend(loc="lower left", fontsize=8)
    axes[0, 0].set_ylabel("share of the layer's values")
    axes[1, 0].set_ylabel("share of the layer's values")
    axes[2, 0].set_ylabel("variance")
    axes[0, 2].legend(title="layer", fontsize=8, loc="upper left")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("initializers.png"))
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)

    print(table(device))
    print(f"\nnn.init, apply and modules begin alike: {three_ways()}\n")
    print("variance in the last layer over that in the first (gradients: first over last)")
    flows = {}
    for title, nonlinearity, begin in CASES:
        torch.manual_seed(0)
        kinds = flow(nonlinearity, begin, options.width, options.layers, device)
        flows[title] = kinds
        forward, backward = ([v.var() for v in values] for values in kinds)
        print(
            f"{title:<16}activations {forward[-1] / forward[0]:>8.4f}   "
            f"gradients {backward[0] / backward[-1]:>8.4f}"
        )
    try:
        draw(options.out, flows)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print('no picture without matplotlib: pip install -e ".[demo]"')
    else:
        print(f"saved {options.out}")


if __name__ == "__main__":
    main()
