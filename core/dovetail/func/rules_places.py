"""Batching rules of operators that read or write at places which an index names."""

from __future__ import annotations

from typing import Any

from dovetail.func.rules import Apply, Case, rule
from dovetail.tensor import Tensor

__all__: list[str] = []


@rule("scatter", "scatter_add", "scatter_reduce")
def _scatter(case: Case) -> Apply | None:
    """Every row has its own index; a 0-d source serves all elements of its row."""
    dim = case.attributes["dim"] + 1
    index = case.facts[1]

    def apply(*values: Any) -> Any:
        value, places, *rest = case.all_batched(values)
        if not case.facts[0].ndim:
            value = value.unsqueeze(1)
        if not index.ndim:
            places = places.unsqueeze(1)
        source = rest[0]
        if isinstance(source, Tensor) and source._spec.ndim < places._spec.ndim:
            source = source.reshape(case.size, *[1] * index.ndim) if index.ndim else source
            source = source.unsqueeze(1) if not index.ndim else source.expand(places._spec.shape)
        return case.rows_shaped(case.call(value, places, source, *rest[1:], dim=dim))

    return apply


@rule("index_select")
def _index_select(case: Case) -> Apply | None:
    if case.flags[1] or not case.facts[0].ndim:
        return None
    dim = case.attributes["dim"] + 1
    return lambda value, index: case.call(value, index, dim=dim)


@rule("index_select_backward")
def _index_select_backward(case: Case) -> Apply | None:
    shape = case.attributes["shape"]
    if case.flags[1] or not shape:
        return None
    changed = {"dim": case.attributes["dim"] + 1, "shape": (case.size, *shape)}
    return lambda value, index: case.call(value, index, **changed)


@rule("index")
def _index(case: Case) -> Apply | None:
    input, index = case.flags
    dim = case.attributes["dim"]
    if not index:
        return lambda value, places: case.call(value, places, dim=dim + 1)
    if input:
        return None

    def apply(value: Tensor, places: Tensor) -> Any:
        result = case.call(value, places)  # (*before, rows, *index, *after)
        return result.movedim(dim, 0) if dim else result

    return apply


@rule("index_put")
def _index_put(case: Case) -> Apply | None:
    if case.flags[1]:
        return None
    named, spec, index = case.attributes, case.facts[0], case.facts[1]
    dim, count = named["dim"], named["count"]
    shape = (*spec.shape[:dim], *index.shape, *spec.shape[dim + count :])

    def apply(value: Any, places: Any, source: Any) -> Any:
        if not case.flags[0]:
            value = value.unsqueeze(0).expand(case.size, *spec.shape)
        if case.flags[2]:
            lead = len(shape) - (source._spec.ndim - 1)
            source = source.reshape(case.size, *[1] * lead, *source._spec.shape[1:])
        return case.call(value, places, source, dim=dim + 1)

    return apply


@rule("embedding")
def _embedding(case: Case) -> Apply | None:
    """Indices may have any shape; a table per row is left to the decomposition."""
    return None if case.flags[0] else case.call
