"""torchvision's models without its pictures: the files in ``vendored`` and what they ask for."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
