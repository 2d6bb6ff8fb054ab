"""The registry inside one process: names, order, loading from several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dovetail.backend import Backend, BackendUnavailable, Registry, fallback_policy, registry
from dovetail.backend.discovery import Settings, name_fault

Loopback = Callable[..., str]


def backend(name: str) -> Backend:
    loaded = registry.load(name)
    assert loaded is not None
    return loaded.backend


def test_names_begin_with_cpu_and_the_core() -> None:
    names = registry.names()
    assert names[0] == "cpu"
    assert "meta" in names
    assert "cpu" in registry
    assert "nothing" not in registry


def test_register_and_unregister(loopback: Loopback) -> None:
    changes: list[int] = []
    own = Registry(environ={})
    own.watch(lambda: changes.append(1))
    own.register("extra", backend(loopback(devices=2)), distribution="somebody")
    assert own.names().index("extra") > own.names().index("cpu")
    loaded = own.get("extra")
    assert (loaded.count, loaded.indexed, loaded.distribution) == (2, True, "somebody")
    assert own.get("extra") is loaded
    with pytest.raises(ValueError, match=r"^register: the name 'extra' is in use$"):
        own.register("extra", loaded.backend)
    own.unregister("extra")
    assert "extra" not in own
    assert len(changes) == 2
    with pytest.raises(BackendUnavailable, match=r"^extra: no plugin has registered this device"):
        own.get("extra")


@pytest.mark.parametrize("name", ["Loop", "a-b", "", "import", "zeros", "backward"])
def test_register_refuses_names(loopback: Loopback, name: str) -> None:
    with pytest.raises(ValueError, match=r"^register: "):
        Registry(environ={}).register(name, backend(loopback()))


def test_host_like_devices_are_not_numbered() -> None:
    assert not registry.get("cpu").indexed
    assert not registry.get("meta").indexed
    assert registry.accelerator("cpu") not in ("cpu", "meta")


def test_a_backend_is_loaded_once_by_many_threads(loopback: Loopback) -> None:
    made = backend(loopback())
    calls: list[float] = []

    class Slow(type(made.runtime)):  # type: ignore[misc]
        def count(self) -> int:
            calls.append(time.monotonic())
            time.sleep(0.05)
            return 1

    own = Registry(environ={})
    own.register("slow", Backend(Slow(), "1"))
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(own.get("slow"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(got) == 8
    assert all(loaded is got[0] for loaded in got)


def test_accelerator_order(loopback: Loopback) -> None:
    one, other = backend(loopback(devices=1)), backend(loopback(devices=0))
    own = Registry(environ={"DOVETAIL_BACKENDS": "zz, bb,aa"})
    own.register("aa", one, distribution="x")
    own.register("bb", other, distribution="x")
    own.register("zz", one, distribution="x")
    assert [n for n in own.names() if len(n) == 2] == ["zz", "bb", "aa"]
    assert own.accelerator() == "zz"
    assert own.accelerator("aa") == "aa"
    assert own.accelerator("bb") == "zz"  # it has no device
    assert own.accelerator("cpu") == "zz"


def test_report_without_loading(loopback: Loopback) -> None:
    own = Registry(environ={})
    own.register("extra", backend(loopback()))
    status = {r.name: r.status for r in own.report(load=False)}
    assert status["extra"] == "not-loaded"
    assert {r.name: r.status for r in own.report()}["extra"] == "available"


def test_settings() -> None:
    settings = Settings.read({"DOVETAIL_BACKENDS": " a ,,b", "DOVETAIL_DISABLE": ""})
    assert settings == Settings(allow=("a", "b"))
    failure = settings.failure("c")
    assert failure is not None
    assert failure.command == "export DOVETAIL_BACKENDS=a,b,c"
    assert settings.failure("cpu") is settings.failure("a") is None


@pytest.mark.parametrize("value", ["error", "warn", "allow"])
def test_fallback_policy(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", value)
    assert fallback_policy() == value


def test_fallback_policy_default_and_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOVETAIL_FALLBACK", raising=False)
    assert fallback_policy() == "warn"
    monkeypatch.setenv("DOVETAIL_FALLBACK", "silent")
    with pytest.raises(ValueError, match=r"^DOVETAIL_FALLBACK: must be error, warn or allow, got"):
        fallback_policy()


def test_name_fault_accepts_ordinary_names() -> None:
    assert [name_fault(n, "x") for n in ("fpga", "tpu", "vpu", "npu_2")] == [None] * 4


def test_close_at_exit_is_called_once(site: Any) -> None:
    from installed import GOOD

    site.install("npu", GOOD.replace("def free", "def close(self): print('closed')\n    def free"))
    done = site.run("-c", "import dovetail as dt; from dovetail.backend import registry\n"
                    "registry.get('npu'); registry.load('npu'); print('end')")  # fmt: skip
    assert done.stdout.splitlines() == ["end", "closed"]
