"""The job from its settings to its result files."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dovetail as dt
from dovetail.backend.state import state_of
from dovetail.cli.progress import progress
from dovetail.demo import DemoError
from dovetail.demo.checkpoint import Checkpoint, replacing, save_tensors
from dovetail.demo.data import Digits, load_digits, load_mnist
from dovetail.demo.picture import draw
from dovetail.demo.training import Evaluation, Run
from dovetail.errors import HostFallbackError, Unsupported

__all__ = ["Interrupted", "Settings", "run_job"]

DEFAULTS = {"device": "cpu", "out": Path("dovetail-demo")}
DEFAULT_SEED = 0
DIGITS_EPOCHS = 12
MNIST_EPOCHS = 3

# What Python imports, and the name under which it is installed.
EXTRA = {
    "tqdm": "tqdm",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
}

Say = Callable[[str], None]
History = list[dict[str, Any]]


class Interrupted(Exception):
    """Ctrl-C during training; the message says how far it came."""


@dataclass(frozen=True)
class Settings:
    """What the person asked for; None where they left it to us."""

    device: str
    out: Path
    data: Path | None = None
    epochs: int | None = None
    seed: int | None = None
    resume: bool = False

    @property
    def checkpoint(self) -> Path:
        """The file that ``--resume`` continues from."""
        return self.out / "checkpoint.pth"

    @property
    def total_epochs(self) -> int:
        """The epochs asked for, or the usual number for this data."""
        return self.epochs or (DIGITS_EPOCHS if self.data is None else MNIST_EPOCHS)

    def resume_command(self, epochs: int | None = None) -> str:
        """What continues this run, to so many epochs in all if that is given."""
        words = ["dovetail", "demo", "--resume"]
        for name, value in (
            ("device", self.device),
            ("out", self.out),
            ("data", self.data),
            ("epochs", epochs or self.epochs),
        ):
            if value not in (None, DEFAULTS.get(name)):
                words += [f"--{name}", str(value)]
        return shlex.join(words)


def run_job(settings: Settings, say: Say) -> dict[str, Any]:
    """Train, evaluate and write the results into ``settings.out``.

    Args:
        settings: what to do.
        say: prints one line for the person.

    Returns:
        ``{"device", "epochs", "accuracy", "seconds", "samples_per_second"}``.

    Raises:
        DemoError: something the person can mend.
        Interrupted: Ctrl-C; the checkpoint is at the end of the last finished epoch.
    """
    _need_extra(with_digits=settings.data is None)
    device = _usable_device(settings.device)
    saved = Checkpoint.load(settings.checkpoint) if settings.resume else None
    _make_folder(settings.out)
    digits = load_digits() if settings.data is None else load_mnist(settings.data)
    with _kernels_named(device):
        run, history = _begin(settings, device, digits, saved)
        return _train(settings, run, history, say)


def _train(settings: Settings, run: Run, history: History, say: Say) -> dict[str, Any]:
    digits = run.digits
    _describe(run, say)
    done = len(history)
    try:
        if settings.resume:
            say(f"resumed   after epoch {done}")
        elif settings.checkpoint.exists():
            say(f"note      the earlier run in {settings.out} is replaced; --resume continues one")
        _checkpoint(run, history).save(settings.checkpoint)
        images = len(digits.train_labels)
        with progress(settings.total_epochs * images, "images", done * images) as bar:
            for epoch in range(done, settings.total_epochs):
                bar.set_description(f"epoch {epoch + 1}/{settings.total_epochs}")
                record = run.train_epoch(epoch, bar)
                history = [*history, record]
                _checkpoint(run, history).save(settings.checkpoint)
                done = len(history)
                _write_log(settings.out / "log.jsonl", history)
                say(_epoch_line(record, settings.total_epochs))
        result = run.evaluate()
        summary = _summary(run, history, result)
        _write_results(settings, run, history, result, summary, say)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped after epoch {done} of {settings.total_epochs}") from None
    return summary


def _need_extra(*, with_digits: bool) -> None:
    needed = {m: name for m, name in EXTRA.items() if with_digits or m != "sklearn"}
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DemoError(
            f"needs {' and '.join(missing)}; install the demo extra with: "
            'pip install "dovetail[demo]" (in the repository: pip install -e ".[demo]")'
        )


def _usable_device(name: str) -> dt.device:
    """The device, after one number has been there and back."""
    try:
        device = dt.device(name)
        one = dt.ones((), device=device)
        if one.is_meta:
            raise DemoError(
                f"--device {name}: has shapes and no data, so nothing can be trained there; "
                "`dovetail devices` lists the others"
            )
        answer = one.cpu().item()
    except (RuntimeError, ValueError, TypeError) as error:
        raise DemoError(f"--device {name}: {error}") from error
    if answer != 1.0:
        raise DemoError(f"--device {name}: it was given 1.0 and gave back {answer}")
    return device


@contextlib.contextmanager
def _kernels_named(device: dt.device) -> Iterator[None]:
    """A backend without some kernel is not the demo's mistake: say what it lacks, and who asks."""
    try:
        yield
    except (Unsupported, HostFallbackError) as error:
        raise DemoError(
            f"--device {device}: {error} (`dovetail capabilities {device.type}` lists what there "
            f"is, `python -m dovetail_conformance --device {device.type}` what is missing)"
        ) from error


def _begin(
    settings: Settings, device: dt.device, digits: Digits, saved: Checkpoint | None
) -> tuple[Run, History]:
    if saved is None:
        return Run(digits, device, settings.seed or DEFAULT_SEED), []
    if settings.seed not in (None, saved.seed):
        raise DemoError(
            f"--resume: the checkpoint's run has --seed {saved.seed}, got --seed {settings.seed}"
        )
    if saved.data != digits.fingerprint:
        raise DemoError(
            "--resume: the checkpoint was trained on other images; give the same --data as before"
        )
    if saved.epoch > settings.total_epochs:
        raise DemoError(
            f"--resume: the checkpoint has {saved.epoch} epochs already; "
            f"ask for at least as many with --epochs, got {settings.total_epochs}"
        )
    run = Run(digits, device, saved.seed)
    try:
        run.model.load_state_dict(saved.model)
        run.optimizer.load_state_dict(saved.optimizer)
    except (RuntimeError, ValueError, KeyError) as error:
        raise DemoError(f"--resume: the checkpoint is of another network: {error}") from error
    return run, saved.history


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(
            f"--out: cannot make the folder {str(folder)!r}: {error.strerror or error}"
        ) from error


def _checkpoint(run: Run, history: History) -> Checkpoint:
    return Checkpoint(
        run.seed,
        run.digits.fingerprint,
        run.model.state_dict(),
        run.optimizer.state_dict(),
        history,
    )


def _summary(run: Run, history: History, result: Evaluation) -> dict[str, Any]:
    """Of the whole run, the part before an interruption included."""
    trained = len(run.digits.train_labels) * len(history)
    training = sum(record["train_seconds"] for record in history)
    return {
        "device": str(run.device),
        "epochs": len(history),
        "accuracy": result.accuracy,
        "seconds": round(sum(record["seconds"] for record in history), 3),
        "samples_per_second": round(trained / training, 1),
    }


def _write_log(path: Path, history: History) -> None:
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(record) + "\n" for record in history))


def _write_results(
    settings: Settings,
    run: Run,
    history: History,
    result: Evaluation,
    summary: dict[str, Any],
    say: Say,
) -> None:
    out = settings.out
    wrong = int((result.predictions != run.digits.test_labels).sum())
    headline = (
        f"{100 * result.accuracy:.2f} % of {len(run.digits.test_labels):,} held-out images right "
        f"after {len(history)} epochs on {run.device}"
    )
    save_tensors(out / "weights.safetensors", dict(run.model.state_dict()))
    _write_log(out / "log.jsonl", history)
    draw(out / "picture.png", history, run.digits, result, headline)
    say("")
    say(f"{headline} ({wrong} wrong)")
    say(f"{summary['seconds']:.1f} s, {summary['samples_per_second']:,.0f} images/s in training")
    say("")
    # What it is first: the paths and commands may be long.
    for name, meaning in RESULTS.items():
        say(f"{meaning:<36} {out / name!s}")
    say("")
    say("Try next:")
    resume = settings.resume_command(len(history) + EPOCHS_MORE)
    for command, meaning in {**NEXT, resume: FURTHER}.items():
        say(f"  {meaning:<36} {command}")


RESULTS = {
    "weights.safetensors": "the trained weights",
    "log.jsonl": "one line per epoch",
    "picture.png": "loss, confusion matrix, predictions",
    "checkpoint.pth": "what --resume continues from",
}

NEXT = {
    "dovetail devices": "what else this machine can train on",
    "dovetail demo --device NAME": "the same, there",
    "dovetail demo --data FOLDER": "on MNIST's idx files, 70,000 images",
}
FURTHER, EPOCHS_MORE = "train this network further", 8


def _describe(run: Run, say: Say) -> None:
    digits = run.digits
    height, width = digits.image_shape
    say(f"device    {run.device}, {state_of(dt.device(run.device)).info.name}")
    say(
        f"data      {digits.name}: {len(digits.train_labels):,} training and "
        f"{len(digits.test_labels):,} held-out images of {height} x {width}"
    )
    say(f"network   {run.parameter_count():,} parameters, seed {run.seed}")


def _epoch_line(record: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {record['epoch']:>3}/{epochs}   loss {record['loss']:.4f}   "
        f"held-out loss {record['test_loss']:.4f}   accuracy {100 * record['accuracy']:6.2f} %   "
        f"{record['samples_per_second']:,.0f} images/s"
    )
