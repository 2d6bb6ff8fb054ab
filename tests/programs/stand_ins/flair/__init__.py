"""Flair's language model without its corpora: the files in ``vendored`` and what they ask for."""

from pkgutil import extend_path

import torch

__path__ = extend_path(__path__, __name__)

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
