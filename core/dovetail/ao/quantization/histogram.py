"""HistogramObserver: the range with the least quantization error, not the widest one."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail.ao.quantization.observer import EPS, PER_TENSOR, UniformQuantizationObserverBase, inf
from dovetail.quantized.schemes import per_tensor_affine
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["HistogramObserver"]

_UPSAMPLE = 16  # parts of a bin that go to bins of a wider histogram


class HistogramObserver(UniformQuantizationObserverBase):
    """A histogram of all numbers seen; ``calculate_qparams`` searches it for the best range.

    The search moves the two ends inwards while the squared error falls that quantization between
    them would make. Histograms are made on the device and joined in host memory. Source: PyTorch's
    page of this name (caffe2's ``NonlinearQuantizationParamsSearch``).

    Args:
        bins: of the histogram.
        dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic: see
            ``UniformQuantizationObserverBase``; schemes per tensor only, not dynamic.
    """

    histogram: Tensor
    min_val: Tensor
    max_val: Tensor

    def __init__(
        self,
        bins: int = 2048,
        dtype: Any = d.quint8,
        qscheme: Any = per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: dict[str, Any] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        self._refuse_scheme(PER_TENSOR, qscheme)
        self._refuse_dynamic(is_dynamic)
        super().__init__(
            dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic,
            **kwargs,
        )  # fmt: skip
        options = factory_kwargs or {}
        self.bins = bins
        self.register_buffer("histogram", dovetail.zeros(bins, **options))
        self.register_buffer("min_val", dovetail.tensor(inf, **options))
        self.register_buffer("max_val", dovetail.tensor(-inf, **options))
        self.dst_nbins = 2 ** d.iinfo(dtype).bits
        self.upsample_rate = _UPSAMPLE

    def forward(self, x_orig: Tensor) -> Tensor:
        """Add ``x_orig`` to the histogram."""
        if not x_orig.numel():
            return x_orig
        x = x_orig.detach().to(self.histogram.dtype)
        low, high = (v.item() for v in dovetail.aminmax(x))
        if low == -inf or high == inf:
            warn("torch.inf detected in input tensor, ignoring input")
            x = x[x.abs() != inf]
            if not x.numel():
                return x_orig
            low, high = (v.item() for v in dovetail.aminmax(x))
        old_low, old_high = self.min_val.item(), self.max_val.item()
        if old_low == inf or old_high == -inf:
            self._keep(dovetail.histc(x, self.bins, low, high), low, high)
            return x_orig
        new_low, new_high = min(low, old_low), max(high, old_high)
        added = dovetail.histc(x, self.bins, new_low, new_high)
        if (new_low, new_high) == (old_low, old_high):
            before = self.histogram
        else:
            spread = self._spread(old_low, old_high, new_low, new_high)
            before = dovetail.tensor(spread, dtype=self.histogram.dtype, device=added.device)
        self._keep(before + added, new_low, new_high)
        return x_orig

    def _keep(self, histogram: Tensor, low: float, high: float) -> None:
        self.histogram.copy_(histogram)
        self.min_val.fill_(low)
        self.max_val.fill_(high)

    def _spread(self, low: float, high: float, new_low: float, new_high: float) -> Any:
        """The histogram of a range as one of a wider range."""
        counts = self.histogram.cpu().numpy()
        if low == high:  # one number, which lies in one bin
            width = (new_high - new_low) / self.bins
            made = np.zeros(self.bins, np.float32)
            made[min(int((low - new_low) / width), self.bins - 1)] = counts.sum()
            return made
        parts = self.bins * _UPSAMPLE
        edges = np.linspace(low, high, parts + 1, dtype=np.float32)[:-1]
        middles = edges + np.float32(0.5) * np.float32((np.float32(high) - np.float32(low)) / parts)
        bounds = np.linspace(new_low, new_high, self.bins + 1, dtype=np.float32)
        places = np.clip(np.searchsorted(bounds, middles, side="right") - 1, 0, self.bins - 1)
        weights = np.repeat(counts, _UPSAMPLE) / _UPSAMPLE
        return np.bincount(places, weights=weights, minlength=self.bins).astype(np.float32)

    def calculate_qparams(self, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero point) of the best range."""
        low, high = self.min_val.item(), self.max_val.item()
        if low == inf and high == -inf:
            return self._calculate_qparams(self.min_val, self.max_val)  # which warns
        first, last = self._search(self.histogram.cpu().numpy(), low, high)
        width = (self.max_val - self.min_val) / self.bins
        return self._calculate_qparams(
            self.min_val + width * first, self.min_val + width * (last + 1)
        )

    def _search(self, counts: Any, low: float, high: float) -> tuple[int, int]:
        """The first and the last bin of the best range."""
        total, cumulated = float(counts.sum()), np.cumsum(counts, dtype=np.float32)
        step, below, above = 1e-5, 0.0, 1.0
        first, last = 0, self.bins - 1
        least = inf
        while below < above:
            next_below, next_above = below + step, above - step
            left, right = first, last
            while left < last and cumulated[left] < next_below * total:
                left += 1
            while right > first and cumulated[right] > next_above * total:
                right -= 1
            next_first, next_last = first, last
            if left - first > last - right:
                next_first, below = left, next_below
            else:
                next_last, above = right, next_above
            if (next_first, next_last) == (first, last):
                continue
            error = self._error(counts, low, high, next_first, next_last)
            if error > least:
                break
            least, first, last = error, next_first, next_last
        return first, last

    def _error(self, counts: Any, low: float, high: float, first: int, last: int) -> float:
        """The squared error that quantizing the range of some bins makes of all numbers."""
        width = (high - low) / self.bins
        step = width * (last - first + 1) / self.dst_nbins
        if step == 0.0:
            return 0.0
        begin = ((np.arange(self.bins) - first) * width).astype(np.float32)
        end = begin + np.float32(width)
        density = counts / np.float32(width)
        most = self.dst_nbins - 1
        of_begin = np.clip(np.floor(begin / np.float32(step)), 0, most)
        of_end = np.clip(np.floor(end / np.float32(step)), 0, most)

        def norm(from_: Any, to: Any) -> Any:
            """Of numbers spread evenly over a distance from the middle of a step."""
            return density * (to * to * to - from_ * from_ * from_) / 3

        half = np.float32(step / 2)
        total = norm(begin - (of_begin + np.float32(0.5)) * np.float32(step), half)
        total = total + (of_end - of_begin - 1) * norm(-half, half)
        total = total + norm(-half, end - (of_end * np.float32(step) + half))
        return float(total.sum())

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self._keep(dovetail.zeros_like(self.histogram), inf, -inf)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        for name in ("min_val", "max_val"):  # of shape (0,) where unseen, before version 3
            found = state_dict.get(prefix + name)
            if found is not None and not found.numel():
                empty = inf if name == "min_val" else -inf
                state_dict[prefix + name] = dovetail.tensor(empty)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)
