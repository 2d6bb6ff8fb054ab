"""The networks that ``cuda_acceptance.py`` trains, written once for dovetail and for PyTorch.

Each entry of :data:`MODELS` is ``make(torch, device, small)``; it returns a :class:`Job`: the model
and ``step()``, one training step without any wait for the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

__all__ = ["MODELS", "Job"]


@dataclasses.dataclass
class Job:
    """A network in training.

    Attributes:
        tensors: parameters, buffers and inputs; the other library copies them before its first
            step, so that both compute the same.
        step: forward, loss, backward, optimizer; returns the loss.
    """

    tensors: list[Any]
    step: Callable[[], Any]


def _training(
    torch: Any, model: Any, rule: Any, inputs: list[tuple[Any, Any]], loss: Any, precision: str
) -> Job:
    """Steps over several batches in turn."""
    at = 0

    def step() -> Any:
        nonlocal at
        x, y = inputs[at % len(inputs)]
        at += 1
        rule.zero_grad()
        kind = x.device.type
        within = (
            torch.autocast(kind, dtype=torch.bfloat16)
            if precision == "bfloat16"
            else contextlib.nullcontext()
        )
        with within:
            value = loss(model(x), y)
        value.backward()
        rule.step()
        return value

    return Job([*model.parameters(), *model.buffers(), *(t for pair in inputs for t in pair)], step)


def resnet50(torch: Any, device: str, small: bool = False, precision: str = "float32") -> Job:
    """ResNet-50 on pictures of 224 x 224, batch 64, SGD with momentum and weight decay."""
    nn = torch.nn
    batch, side, classes = (2, 64, 10) if small else (64, 224, 1000)

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, given: int, width: int, stride: int) -> None:
            super().__init__()
            made = 4 * width
            self.conv1 = nn.Conv2d(given, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, made, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(made)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride != 1 or given != made:
                self.downsample = nn.Sequential(
                    nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made)
                )

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            y = self.bn3(self.conv3(y))
            beside = x if self.downsample is None else self.downsample(x)
            y += beside
            return self.relu(y)

    torch.manual_seed(0)
    with torch.device(device):
        layers: list[Any] = [
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]  # fmt: skip
        given = 64
        depths = (1, 1, 1, 1) if small else (3, 4, 6, 3)
        for stage, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True)):
            for i in range(depth):
                layers.append(Block(given, width, 2 if stage and not i else 1))
                given = 4 * width
        model = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, classes)
        )
        inputs = [
            (torch.randn(batch, 3, side, side), torch.randint(0, classes, (batch,)))
            for _ in range(3)
        ]
    rule = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    return _training(torch, model, rule, inputs, nn.functional.cross_entropy, precision)


def gpt2(
    torch: Any, device: str, small: bool = False, precision: str = "float32",
    capturable: bool = False,
) -> Job:  # fmt: skip
    """GPT-2 small (12 blocks, width 768, 12 heads, tied head), 8 sequences of 1024, AdamW."""
    nn, functional = torch.nn, torch.nn.functional
    batch, length, width, heads, depth, words = (
        (2, 32, 64, 4, 2, 300) if small else (8, 1024, 768, 12, 12, 50257)
    )

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            q, k, v = self.qkv(self.ln_1(x)).split(width, dim=2)
            q, k, v = (z.view(n, t, heads, width // heads).transpose(1, 2) for z in (q, k, v))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).contiguous().view(n, t, width))
            return x + self.down(functional.gelu(self.up(self.ln_2(x)), approximate="tanh"))

    class GPT2(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList([Block() for _ in range(depth)])
            self.ln_f = nn.LayerNorm(width)
            self.head = nn.Linear(width, words, bias=False)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)
            self.head.weight = self.wte.weight

        def forward(self, x: Any) -> Any:
            y = self.wte(x) + self.wpe(self.places)
            for block in self.blocks:
                y = block(y)
            return self.head(self.ln_f(y)).flatten(0, 1)

    torch.manual_seed(0)
    with torch.device(device):
        model = GPT2()
        model.places = torch.arange(length)
        text = [torch.randint(0, words, (batch, length + 1)) for _ in range(3)]
    inputs = [(t[:, :-1].contiguous(), t[:, 1:].reshape(-1)) for t in text]
    rule = torch.optim.AdamW(model.parameters(), lr=3e-4, capturable=capturable)
    return _training(torch, model, rule, inputs, functional.cross_entropy, precision)


VGG19 = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
"""Up to the last layer whose style is compared."""
STYLE, CONTENT = (1, 3, 5, 9, 13), 10
"""Which convolutions, counted from one."""


def style(
    torch: Any, device: str, small: bool = False, precision: str = "float32", rule: str = "LBFGS",
    capturable: bool = False,
) -> Job:  # fmt: skip
    """VGG19 style transfer on a picture of 512 x 512; a step is four of LBFGS, or one of Adam."""
    nn, functional = torch.nn, torch.nn.functional
    side = 64 if small else 512

    def gram(y: Any) -> Any:
        rows = y.view(y.shape[1], -1)
        return rows @ rows.t() / y.numel()

    torch.manual_seed(0)
    with torch.device(device):
        layers, given = [], 3
        for made in VGG19:
            if made == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(given, int(made), 3, padding=1), nn.ReLU()]
                given = int(made)
        model = nn.Sequential(*layers)
        pictures = [torch.rand(1, 3, side, side) for _ in range(2)]
    model.requires_grad_(False)

    def looked_at(x: Any) -> tuple[list[Any], Any]:
        styles, content, seen = [], None, 0
        for layer in model:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                seen += 1
                if seen in STYLE:
                    styles.append(gram(x))
                if seen == CONTENT:
                    content = x
        return styles, content

    targets: list[Any] = []
    picture = pictures[0].clone().requires_grad_(True)
    options = {"capturable": capturable} if rule == "Adam" else {"max_iter": 4, "max_eval": 4}
    optimizer = getattr(torch.optim, rule)([picture], **options)

    def closure() -> Any:
        optimizer.zero_grad()
        styles, content = looked_at(picture)
        loss = functional.mse_loss(content, targets[1])
        for mine, wanted in zip(styles, targets[0], strict=True):
            loss = loss + 1e6 * functional.mse_loss(mine, wanted)
        loss.backward()
        return loss

    def step() -> Any:
        if not targets:
            with torch.no_grad():
                targets.extend((looked_at(pictures[1])[0], looked_at(pictures[0])[1]))
        if rule == "LBFGS":
            return optimizer.step(closure)
        loss = closure()
        optimizer.step()
        return loss

    return Job([*model.parameters(), *pictures, picture], step)


MODELS: dict[str, Callable[..., Job]] = {"ResNet-50": resnet50, "GPT-2 small": gpt2, "style": style}
