"""A folder of torchvision, shared with ``vendored``."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
