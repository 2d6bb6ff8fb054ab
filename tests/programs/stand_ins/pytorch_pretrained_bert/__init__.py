"""GPT-2 and BERT's optimizer of ``pytorch_pretrained_bert``, with what they ask for."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
