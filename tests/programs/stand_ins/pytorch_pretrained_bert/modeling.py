"""The layer norm that GPT-2 takes from BERT's file, which uses Apex's where that is installed."""

from torch.nn import LayerNorm as BertLayerNorm

__all__ = ["BertLayerNorm"]
