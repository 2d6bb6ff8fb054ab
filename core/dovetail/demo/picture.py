"""One picture of a finished run: how it went, what it confuses, what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dovetail.demo.checkpoint import replacing
from dovetail.demo.data import CLASSES, Digits
from dovetail.demo.training import Evaluation

__all__ = ["confusion_matrix", "draw"]

ROWS, COLUMNS = 3, 6
RIGHT, WRONG = "#1b7837", "#c51b1b"


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Counts, (CLASSES, CLASSES): row the true digit, column the predicted one."""
    matrix = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def draw(
    path: Path,
    history: list[dict[str, Any]],
    digits: Digits,
    result: Evaluation,
    title: str,
) -> None:
    """Write the loss curve, the confusion matrix and some predictions to a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    parts: Any = figure.subfigures(1, 3, width_ratios=(1.15, 1, 1.25))
    curve, matrix, gallery = parts
    _draw_curve(curve.subplots(), history)
    _draw_matrix(matrix.subplots(), confusion_matrix(digits.test_labels, result.predictions))
    _draw_gallery(gallery, digits, result)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _draw_curve(axes: Any, history: list[dict[str, Any]]) -> None:
    epochs = [record["epoch"] for record in history]
    marker = "o" if len(epochs) < 30 else None
    axes.plot(epochs, [r["loss"] for r in history], marker=marker, ms=3, label="training loss")
    axes.plot(epochs, [r["test_loss"] for r in history], marker=marker, ms=3, label="held-out loss")
    axes.set(xlabel="epoch", ylabel="cross entropy", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    share = axes.twinx()
    accuracies = [100 * r["accuracy"] for r in history]
    share.plot(epochs, accuracies, color="gray", ls="--", label="held-out accuracy")
    share.set_ylabel("accuracy, %")
    lines = axes.get_lines() + share.get_lines()
    # Above, for the curves may be anywhere inside.
    axes.legend(
        lines,
        [line.get_label() for line in lines],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
        fontsize=7,
        frameon=False,
        handlelength=1.5,
        columnspacing=1.0,
    )


def _draw_matrix(axes: Any, counts: np.ndarray) -> None:
    axes.imshow(np.log1p(counts), cmap="Blues")
    ticks = range(CLASSES)
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted", ylabel="true")
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if row == column else WRONG
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", size=8, c=color)


def _draw_gallery(figure: Any, digits: Digits, result: Evaluation) -> None:
    labels, predictions = digits.test_labels, result.predictions
    least_certain = np.argsort(result.confidences, kind="stable")
    is_wrong = (predictions != labels)[least_certain]
    wrong, right = least_certain[is_wrong], least_certain[~is_wrong]
    # At most two rows of mistakes; the rest of the room is for what it was nearly wrong about.
    shown = np.concatenate([wrong[: (ROWS - 1) * COLUMNS], right])[: ROWS * COLUMNS]
    mistakes = f"the mistakes ({len(wrong)}), then " if len(wrong) else ""
    figure.suptitle(f"{mistakes}the least certain predictions", fontsize=10)
    for axes, index in zip(figure.subplots(ROWS, COLUMNS).flat, shown, strict=False):
        axes.imshow(digits.test_images[index], cmap="gray_r")
        predicted, label = predictions[index], labels[index]
        if predicted == label:
            axes.set_title(f"{predicted}", color=RIGHT, fontsize=9, pad=2)
        else:
            axes.set_title(f"{predicted}, is {label}", color=WRONG, fontsize=9, pad=2)
    for axes in figure.axes:
        axes.set_axis_off()
