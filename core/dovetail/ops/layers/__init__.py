"""What layers of a network compute, their losses, and the steps of optimizers."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "softmax", "loss", "margin_loss", "classification", "norm", "layer_norm", "conv", "rectified",
    "pool", "adaptive_pool", "attention", "recurrent", "lstm_layer", "gru_layer", "rnn_layer",
    "ctc", "channels", "dropout", "reading", "grid", "affine_grid", "similarity", "weight_norm",
    "response_norm", "row_losses", "label_margins", "weighted_loss",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
