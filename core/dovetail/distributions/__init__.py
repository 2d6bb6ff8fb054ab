"""PyTorch's ``torch.distributions``: probabilities, samples that pass gradients, divergences.

docs/coverage.md#torchdistributions lists what of it is not here yet.
"""

from __future__ import annotations

import sys

from dovetail.distributions import constraints, modules, transforms
from dovetail.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from dovetail.distributions.discrete import (
    Bernoulli,
    Categorical,
    Geometric,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from dovetail.distributions.distribution import Distribution
from dovetail.distributions.independent import Independent, MixtureSameFamily
from dovetail.distributions.kl import kl_divergence, register_kl
from dovetail.distributions.multivariate_normal import MultivariateNormal
from dovetail.distributions.transformed import LogNormal, TransformedDistribution
from dovetail.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AffineTransform", "Bernoulli", "Categorical", "Cauchy", "ComposeTransform", "Distribution",
    "ExpTransform", "Exponential", "Geometric", "Gumbel", "HalfNormal", "Independent", "Laplace",
    "LogNormal", "MixtureSameFamily", "MultivariateNormal", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Poisson", "PowerTransform", "SigmoidTransform",
    "SoftplusTransform", "TanhTransform", "Transform", "TransformedDistribution", "Uniform",
    "constraints", "identity_transform", "kl_divergence", "register_kl", "transforms",
]  # fmt: skip

modules.fill(sys.modules[__name__])
