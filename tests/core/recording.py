"""A loopback device that can capture graphs: work is kept meanwhile, and run by replays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

from dovetail.backend import KernelTable

__all__ = ["recording_runtime"]


class _Graph:
    def __init__(self, pool: Hashable, seed: int, offset: int) -> None:
        self.pool, self.seed, self.offset = pool, seed, offset
        self.work: list[Callable[[int, int], None]] = []
        self.is_free = False


def recording_runtime(**settings: Any) -> Any:
    """The runtime; its attribute ``graph`` is the one that is being captured."""
    from dovetail_loopback import LoopbackRuntime

    class Runtime(LoopbackRuntime):
        """Loopback with streams and graphs."""

        streams = graphs = True

        def __init__(self) -> None:
            super().__init__(**settings)
            self.graph: Any = None
            self.replays: list[tuple[int, int]] = []
            self.made = 0

        def stream_new(self, index: int, priority: int = 0) -> Any:
            self.made += 1
            return self.made

        def synchronize(self, index: int) -> None:
            if self.graph is not None:
                raise RuntimeError("recording: nothing can be waited for in a capture")

        def stream_synchronize(self, stream: Any) -> None:
            pass

        def stream_query(self, stream: Any) -> bool:
            return True

        def event_record(self, event: Any, stream: Any) -> None:
            pass

        def event_query(self, event: Any) -> bool:
            return True

        def event_synchronize(self, event: Any) -> None:
            pass

        def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
            self.synchronize(0)
            super().d2h(target, buffer, offset)

        def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
            data = bytes(source)
            put = super().h2d
            if self.graph is None:
                put(buffer, offset, source)
            else:
                self.graph.work.append(lambda s, o: put(buffer, offset, memoryview(data)))

        def kernels(self) -> KernelTable:
            table = super().kernels()
            made = KernelTable(contract=table.contract, layout=self.layout)
            for name in table:
                for entry in reversed(table.entries(name)):
                    wrapped = self._special(entry.function) if entry.specialize else (
                        self._plain(entry.function))  # fmt: skip
                    made.add(
                        name, wrapped, dtypes=entry.dtypes, layout=entry.layout, when=entry.when,
                        specialize=entry.specialize,
                    )  # fmt: skip
            return made

        def _queue(self, run: Callable[[int, int], None]) -> None:
            if self.graph is None:
                run(0, 0)
            else:
                self.graph.work.append(run)

        def _plain(self, function: Any) -> Any:
            def kernel(*arrays: Any, **attributes: Any) -> None:
                def run(seed: int, shift: int) -> None:
                    function(*arrays, **_shifted(attributes, seed, shift))

                self._queue(run)

            return kernel

        def _special(self, function: Any) -> Any:
            def specialize(facts: Any) -> Any:
                def kernel(*arrays: Any, **stream: int) -> None:
                    def run(seed: int, shift: int) -> None:
                        attributes = _shifted(dict(facts.attributes), seed, shift)
                        changed = facts
                        if attributes != dict(facts.attributes):
                            changed = dataclasses.replace(facts, attributes=attributes)
                        function(changed)(*arrays, **_shifted(stream, seed, shift))

                    self._queue(run)

                return kernel

            return specialize

        def capture_begin(
            self, index: int, stream: Any, pool: Hashable, seed: int, offset: int
        ) -> None:
            assert self.graph is None
            self.graph = _Graph(pool, seed, offset)

        def capture_end(self, index: int, stream: Any) -> Any:
            graph, self.graph = self.graph, None
            return graph

        def replay(self, graph: Any, stream: Any, seed: int, offset: int) -> None:
            assert not graph.is_free
            self.replays.append((seed, offset))
            for run in graph.work:
                run(seed ^ graph.seed, offset - graph.offset)

        def graph_free(self, graph: Any) -> None:
            assert not graph.is_free
            graph.is_free = True

    return Runtime()


def _shifted(attributes: dict[str, Any], seed: int, shift: int) -> dict[str, Any]:
    """The attributes of a draw, moved on; others as they are."""
    if "seed" not in attributes or "offset" not in attributes:
        return attributes
    moved = {"seed": attributes["seed"] ^ seed, "offset": attributes["offset"] + shift}
    return attributes | moved
