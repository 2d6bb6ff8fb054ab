"""Distributions by the files that PyTorch keeps them in (``torch.distributions.normal``).

Every name is the object that ``dovetail.distributions`` has. PyTorch's files ``constraints``,
``distribution``, ``independent``, ``kl``, ``multivariate_normal``, ``transforms`` and ``utils``
are files here too.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["fill"]

_FILES = {
    "bernoulli": "Bernoulli",
    "categorical": "Categorical",
    "cauchy": "Cauchy",
    "exponential": "Exponential",
    "geometric": "Geometric",
    "gumbel": "Gumbel",
    "half_normal": "HalfNormal",
    "laplace": "Laplace",
    "log_normal": "LogNormal",
    "mixture_same_family": "MixtureSameFamily",
    "normal": "Normal",
    "one_hot_categorical": "OneHotCategorical OneHotCategoricalStraightThrough",
    "poisson": "Poisson",
    "transformed_distribution": "TransformedDistribution",
    "uniform": "Uniform",
}


def fill(package: ModuleType) -> None:
    """Make the files of ``torch.distributions`` in ``package``, which has the distributions."""
    for file, listed in _FILES.items():
        name = f"{package.__name__}.{file}"
        made = ModuleType(name, f"PyTorch's ``torch.distributions.{file}``.")
        names = listed.split()
        made.__dict__.update({kind: getattr(package, kind) for kind in names}, __all__=names)
        sys.modules[name] = made
        setattr(package, file, made)
