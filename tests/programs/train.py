"""Train networks that others wrote for PyTorch, and write down their losses.

    python train.py DEVICE DTYPE STATES RESULTS

It is run by PyTorch as it is, and by dovetail with ``dovetail run``: nothing in it or in what it
imports knows of dovetail. The first run writes each network's first state into the folder STATES,
later ones read it. RESULTS is a JSON file.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "stand_ins"), str(HERE / "vendored")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

STEPS = 6


def images(count, side, classes):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((count, 3, side, side)))
    return x.to(torch.get_default_dtype()), torch.arange(count) % classes


def text(count, length, words):
    """Numbers that follow from the one before, with a little noise."""
    rng = np.random.default_rng(1)
    rows = [
        (3 * np.arange(length + 1) + start) % words for start in rng.integers(words, size=count)
    ]
    rows = np.where(rng.random((count, length + 1)) < 0.1, 0, np.stack(rows))
    return torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())


def resnet(device, start):
    """torchvision's ResNet with a block in each stage; SGD and a schedule."""
    from torchvision.models.resnet import Bottleneck, ResNet

    model = start(ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5, width_per_group=16))
    x, y = (t.to(device) for t in images(8, 40, 5))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.004, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()
    model.eval()
    with torch.no_grad():
        yield from model(x)[0].tolist()


def vit(device, start):
    """torchvision's ViT on patches of 8; AdamW, clipped gradients."""
    from torchvision.models.vision_transformer import VisionTransformer

    model = start(
        VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64,
            num_classes=5,
        )
    )  # fmt: skip
    x, y = (t.to(device) for t in images(8, 32, 5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()
    model.eval()
    with torch.inference_mode():
        yield from model(x)[0].tolist()


def gpt(device, start):
    """Hugging Face's first GPT-2 with BERT's Adam; then it goes on with a text, from its cache."""
    from pytorch_pretrained_bert.modeling_gpt2 import GPT2Config, GPT2LMHeadModel
    from pytorch_pretrained_bert.optimization import BertAdam

    config = GPT2Config(61, n_positions=32, n_ctx=32, n_embd=32, n_layer=2, n_head=4)
    model = start(GPT2LMHeadModel(config))
    x, y = (t.to(device) for t in text(4, 24, 61))
    optimizer = BertAdam(model.parameters(), lr=1e-2, warmup=0.1, t_total=100)
    for _ in range(STEPS):
        loss = model(x, lm_labels=y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()
    model.eval()
    last, past = x[:1, :5], None
    with torch.no_grad():
        for _ in range(5):
            scores, past = model(last, past=past)
            values, last = torch.topk(scores[:, -1, :], k=1, dim=-1)
            yield values.item()
            yield float(last.item())


def lstm(device, start):
    """Flair's language model, two layers of LSTM, its state carried from piece to piece; SGD."""
    from flair.data import Dictionary
    from flair.models.language_model import LanguageModel

    words = 43
    model = start(
        LanguageModel(
            Dictionary(range(words)), is_forward_lm=True, hidden_size=24, nlayers=2,
            embedding_size=16, dropout=0.0,
        )
    )  # fmt: skip
    x, y = (t.t().contiguous().to(device) for t in text(5, 8 * STEPS, words))
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    criterion = nn.CrossEntropyLoss(reduction="none")
    hidden = model.init_hidden(x.size(1))
    for at in range(0, len(x), 8):
        model.zero_grad()
        output, _, hidden = model.forward(x[at : at + 8], hidden)
        loss = criterion(output.view(-1, words), y[at : at + 8].reshape(-1)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        hidden = tuple(part.detach() for part in hidden)
        yield loss.item()
    model.eval()
    with torch.no_grad():
        yield from model.forward(x[:3], model.init_hidden(x.size(1)))[0][-1, 0, :5].tolist()


def main(device, dtype, states, results):
    torch.set_default_dtype(getattr(torch, dtype))
    found = {}
    for train in (resnet, vit, gpt, lstm):
        path = Path(states) / f"{train.__name__}.pth"

        def start(model, path=path):
            if path.exists():
                model.load_state_dict(torch.load(path, map_location="cpu"))
            else:
                torch.save(model.state_dict(), path)
            model.to(device)  # Flair's returns None
            return model

        torch.manual_seed(0)
        found[train.__name__] = list(train(torch.device(device), start))
    Path(results).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
