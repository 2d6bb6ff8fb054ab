"""For tests: are two results close, and tensors to try something with (``torch.testing``)."""

from dovetail.testing.comparison import assert_allclose, assert_close
from dovetail.testing.creation import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
