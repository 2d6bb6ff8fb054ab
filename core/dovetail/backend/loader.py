"""The registry of backends: loads a plugin on first use, and keeps what went wrong with it.

A broken plugin breaks its own device only, with one sentence that says what to do and its own
traceback as the cause. Another device is never put in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dovetail.backend.api import Backend, DeviceInfo, KernelTable, Runtime
from dovetail.backend.discovery import (
    GROUP,
    HOST,
    OWN,
    Settings,
    fallback_policy,
    find_plugins,
    name_fault,
)
from dovetail.backend.overlays import apply_overlays, raise_failed, warn_failed
from dovetail.backend.records import (
    Failure,
    Found,
    Loaded,
    Overlay,
    Record,
    advice_for,
    contract_failure,
    one_line,
    package_of,
)
from dovetail.errors import BackendUnavailable
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.backend.plugin import Hooks

__all__ = ["GROUP", "HOST", "Loaded", "Record", "Registry", "fallback_policy", "registry", "within"]

T = TypeVar("T")


class _Entry:
    """A name and what became of it; ``lock`` is held while it loads."""

    def __init__(self, found: Found, failure: Failure | None, indexed: bool | None = None) -> None:
        self.found = found
        self.failure = found.failure or failure
        self.indexed = indexed
        self.loaded: Loaded | None = None
        self.backend: Backend | None = None
        self.add_operators: Callable[[Any], Any] | None = None
        self.lock = threading.RLock()
        self.is_loading = False


def within(seconds: float, label: str, function: Callable[[], T]) -> T:
    """``function()``, given up after ``seconds``; foreign code may hang in a driver.

    Raises:
        TimeoutError: it did not return in time. Its thread is left behind.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # handed to the caller below, whatever it is
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name=f"dovetail-{label}")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"{label} hung: no answer within {seconds:g} s")
    return results[0]


class Registry:
    """All backends by name: plugins found by entry point, and built-in ones.

    Names are read at the first question about them; a plugin is imported when its device is first
    used. Safe to use from several threads.

    Args:
        environ: read instead of ``os.environ``.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._lock = threading.RLock()
        self._settings = Settings()
        self._builtin: dict[str, _Entry] = {}
        self._entries: dict[str, _Entry] | None = None
        self._rejected: list[Found] = []
        self._overlays: list[Found] = []
        self._ready: dict[str, Loaded] = {}
        self._watchers: list[Callable[[], None]] = []
        self._hooks: Hooks | None = None
        self._accelerator: str | None = None
        self._is_strict_done = False

    # Names.

    def names(self) -> list[str]:
        """The names that exist, loaded or not: the core's own first, then alphabetically."""
        return list(self._checked())

    def known(self) -> list[str]:
        """The names found so far; unlike :meth:`names` it reads nothing."""
        return list(self._builtin if self._entries is None else self._entries)

    def __contains__(self, name: object) -> bool:
        return name == HOST or name in self._builtin or name in self._checked()

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed()`` called whenever a name is added, taken out or read again."""
        self._watchers.append(changed)

    def refresh(self) -> None:
        """Forget everything found and loaded, built-ins aside; the next question reads again."""
        with self._lock:
            self._entries, self._rejected, self._hooks = None, [], None
            self._overlays = []
            self._is_strict_done = False
            for name in [n for n in self._ready if n not in self._builtin]:
                del self._ready[name]
            self._changed()

    def register(
        self,
        name: str,
        backend: Backend,
        *,
        distribution: str = OWN,
        indexed: bool | None = None,
    ) -> None:
        """Add a backend that is no installed plugin: the core's own, or a test's.

        Args:
            name: the device's name.
            backend: the backend.
            distribution: who it belongs to, for the report.
            indexed: whether its devices are numbered (see :class:`Loaded`).

        Raises:
            ValueError: the name is malformed or in use.
        """
        with self._lock:
            known = self._builtin if self._entries is None else self._entries
            fault = name_fault(name, distribution)
            if fault is None and name in known:
                fault = f"the name {name!r} is in use"
            if fault is not None:
                raise ValueError(f"register: {fault}")
            found = Found(
                name,
                type(backend.runtime).__module__,
                distribution,
                backend.version,
                lambda: backend,
            )
            entry = self._builtin[name] = _Entry(found, None, indexed)
            entry.backend = backend
            if self._entries is not None:
                self._entries[name] = entry
                self._entries = self._ordered(self._entries)
            self._changed()

    def unregister(self, name: str) -> None:
        """Take out a name that :meth:`register` added.

        Raises:
            KeyError: there is none of that name.
        """
        with self._lock:
            del self._builtin[name]
            self._ready.pop(name, None)
            if self._entries is not None:
                self._entries.pop(name, None)
            self._changed()

    def is_registered_here(self, name: str) -> bool:
        """Whether :meth:`register` added the name, so that no other process finds it."""
        return name in self._builtin

    def _changed(self) -> None:
        self._accelerator = None
        for changed in self._watchers:
            changed()

    def _discovered(self) -> dict[str, _Entry]:
        entries = self._entries
        if entries is None:
            with self._lock:
                entries = self._entries
                if entries is None:
                    entries = self._discover()
        return entries

    def _checked(self) -> dict[str, _Entry]:
        """What was discovered; an error where DOVETAIL_STRICT wants one."""
        entries = self._discovered()
        if self._settings.strict and not self._is_strict_done:
            self._check_strict(entries)
        return entries

    def _discover(self) -> dict[str, _Entry]:
        self._settings = Settings.read(self._environ)
        plugins, self._rejected, self._overlays = find_plugins(self._builtin)
        entries = {n: _Entry(f, self._settings.failure(n)) for n, f in plugins.items()}
        self._entries = self._ordered({**self._builtin, **entries})
        return self._entries

    def _ordered(self, entries: dict[str, _Entry]) -> dict[str, _Entry]:
        allow = self._settings.allow or ()
        # HOST first, then as DOVETAIL_BACKENDS lists them, the core's own before other people's.
        key = lambda name: (
            name != HOST,
            allow.index(name) if name in allow else len(allow),
            entries[name].found.distribution != OWN,
            name,
        )
        return {name: entries[name] for name in sorted(entries, key=key)}

    def _check_strict(self, entries: dict[str, _Entry]) -> None:
        """DOVETAIL_STRICT: load everything, and raise for what does not load."""
        self._is_strict_done = True  # plugins ask for names while they load
        failures = [(f.name, f.failure) for f in self._rejected]
        overlays: list[Overlay] = []
        for name, entry in entries.items():
            loaded = self.load(name)
            failures.append((name, entry.failure))
            overlays += () if loaded is None else loaded.overlays
        for name, failure in failures:
            if failure is not None and failure.status in ("failed", "incompatible"):
                self._is_strict_done = False
                text = f"DOVETAIL_STRICT: {failure.sentence(name)}"
                raise failure.kind(text) from failure.exception
        try:
            raise_failed(overlays)
        except BackendUnavailable:
            self._is_strict_done = False
            for overlay in overlays:  # plugins that forward to a device have got it meanwhile
                self._ready.pop(overlay.device, None)
            raise

    # Loading.

    def get(self, name: str) -> Loaded:
        """The backend of ``name``, loaded, with at least one device.

        Raises:
            BackendUnavailable: absent, broken, disabled or without hardware; the message is one
                sentence that says what to do, the cause is the plugin's own exception.
            ContractVersionError: it was built for another version of the contract.
        """
        ready = self._ready.get(name)
        if ready is not None:
            return ready
        self._checked()
        loaded = self.load(name)
        failure = self._discovered()[name].failure
        if failure is not None:
            raise failure.kind(failure.sentence(name)) from failure.exception
        assert loaded is not None
        first = self._ready.setdefault(name, loaded)
        if first is loaded and loaded.overlays:
            warn_failed(loaded.overlays)
        return first

    def load(self, name: str) -> Loaded | None:
        """Load a backend if that has not happened, and say what came of it; None: it failed.

        Unlike :meth:`get` it also returns a backend that found no device.

        Raises:
            BackendUnavailable: no plugin offers the name.
        """
        # A built-in must be there while the core is being imported, before names are read.
        entry = self._builtin.get(name) or self._discovered().get(name)
        if entry is None:
            raise BackendUnavailable(
                f"{name}: no plugin has registered this device; there are "
                f"{', '.join(self._discovered())}"
            )
        with entry.lock:
            if entry.loaded is None and entry.failure is None:
                if entry.is_loading:
                    raise BackendUnavailable(f"{name}: was asked for while it was being loaded")
                entry.is_loading = True
                try:
                    self._load(entry)
                finally:
                    entry.is_loading = False
        return entry.loaded

    def _load(self, entry: _Entry) -> None:
        """Fill in ``entry.loaded``, ``entry.failure``, or both where no device was found."""
        found = entry.found
        steps = (
            ("failed to load", self._load_backend),
            ("was refused", _check_contract),
            ("could not add its operators", self._add_operators),
            ("could not list its devices", self._probe),
        )
        for what, step in steps:
            try:
                failure = step(entry)
            except (Exception, SystemExit) as error:  # a plugin may do anything at all
                text = f"{package_of(found.module)} {what}: {one_line(error)}"
                failure = Failure("failed", text, *advice_for(found, error), exception=error)
            if failure is not None:
                entry.failure = failure
                return

    def _load_backend(self, entry: _Entry) -> Failure | None:
        if entry.backend is None:
            plugin = entry.found.load()
            make, entry.add_operators = self._plugin_hooks().adopt(entry.found.name, plugin)
            backend = make()
            _check_type("dovetail_backend returned", backend, Backend)
            _check_type("Backend.runtime is", backend.runtime, Runtime)
            entry.backend = backend
        return None

    def _add_operators(self, entry: _Entry) -> Failure | None:
        if entry.add_operators is not None:
            from importlib import import_module

            entry.add_operators(import_module(f"{OWN}.ops"))
        return None

    def _plugin_hooks(self) -> Hooks:
        from dovetail.backend.plugin import Hooks

        with self._lock:
            if self._hooks is None:
                self._hooks = Hooks()
            return self._hooks

    def _probe(self, entry: _Entry) -> Failure | None:
        backend, found = entry.backend, entry.found
        assert backend is not None
        runtime, module = backend.runtime, package_of(found.module)
        limit = self._settings.timeout
        try:
            count = within(limit, f"count() of {module}", runtime.count)
        except TimeoutError as error:
            return Failure(
                "failed",
                str(error),
                "set DOVETAIL_PROBE_TIMEOUT to more seconds if the device is slow to answer",
                f"export DOVETAIL_PROBE_TIMEOUT={6 * limit:g}",
                error,
            )
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise TypeError(f"count() must return an int of at least 0, got {count!r}")
        failure = None
        table = KernelTable()
        overlays: tuple[Overlay, ...] = ()
        if count:
            table = runtime.kernels()
            _check_type("Runtime.kernels returned", table, KernelTable)
            failure = contract_failure(found, table.contract)
            if failure is None and found.name not in self._builtin and self._overlays:
                table, overlays = apply_overlays(
                    found.name, table, self._overlays, self._settings, self._plugin_hooks
                )
        else:
            why = within(limit, f"why_absent() of {module}", runtime.why_absent)
            asked = f"{OWN} doctor {found.name}"
            failure = Failure("no-device", why, f"see `{asked}`", asked)
        if failure is None or failure.status == "no-device":
            # The host itself is one device; everybody else's are numbered, even a single one.
            indexed = found.name != HOST if entry.indexed is None else entry.indexed
            version = backend.version or found.version
            entry.loaded = Loaded(
                found.name,
                backend,
                runtime,
                table,
                version,
                found.distribution,
                count,
                indexed,
                overlays,
            )
            _close_at_exit(runtime)
        return failure

    # Questions.

    def accelerator(self, preferred: str | None = None) -> str | None:
        """The name that "the accelerator" means: ``preferred`` if it is one, else the first found.

        An accelerator is a numbered device that is present. They are tried in the order of
        :meth:`names`; those that fail are passed over.
        """
        if preferred is not None and preferred != HOST and self._is_accelerator(preferred):
            return preferred
        if self._accelerator is None:
            self._accelerator = next((n for n in self.names() if self._is_accelerator(n)), "")
        return self._accelerator or None

    def _is_accelerator(self, name: str) -> bool:
        if name not in self:
            return False
        loaded = self.load(name)
        return loaded is not None and loaded.indexed and loaded.count > 0

    def info(self, name: str, index: int) -> DeviceInfo:
        """Facts about one device, not waiting for ever.

        Raises:
            BackendUnavailable: as :meth:`get`, or the plugin could not say.
        """
        loaded = self.get(name)
        try:
            return within(
                self._settings.timeout, f"info({index})", lambda: loaded.runtime.info(index)
            )
        except Exception as error:
            raise BackendUnavailable(f"{name}:{index}: info failed: {one_line(error)}") from error

    def failure(self, name: str) -> Failure | None:
        """What is wrong with ``name``, as far as is known; None: nothing."""
        entry = self._discovered().get(name)
        return None if entry is None else entry.failure

    def overlays(self) -> list[str]:
        """What DOVETAIL_DISABLE may name besides devices: modules and distributions of overlays."""
        self._discovered()
        names = [n for f in self._overlays for n in (f.module.partition(":")[0], f.distribution)]
        return list(dict.fromkeys(names))

    @property
    def settings(self) -> Settings:
        """The environment variables as discovery found them."""
        self._discovered()
        return self._settings

    @property
    def hook(self) -> Any:
        """The hooks of all loaded plugins together, to be called by keyword."""
        return self._plugin_hooks().hook

    def report(self, load: bool = True) -> list[Record]:
        """What was found, one record per name; a name that cannot be served has one too.

        Args:
            load: load every plugin that is not disabled, to learn whether it works.
        """
        records = []
        for name, entry in list(self._discovered().items()):
            if load:
                self.load(name)
            records.append(_record(entry.found, entry))
        return records + [_record(found, None) for found in self._rejected]


def _record(found: Found, entry: _Entry | None) -> Record:
    failure = found.failure if entry is None else entry.failure
    loaded = None if entry is None else entry.loaded
    backend = None if entry is None else entry.backend
    status = "not-loaded" if loaded is None else "available"
    return Record(
        name=found.name,
        module=package_of(found.module),
        distribution=found.distribution,
        version=(backend.version if backend is not None else "") or found.version,
        contract=None if backend is None else backend.contract,
        status=status if failure is None else failure.status,
        reason="" if failure is None else failure.reason,
        advice="" if failure is None else failure.advice,
        command="" if failure is None else failure.command,
        exception=None if failure is None else failure.exception,
        count=0 if loaded is None else loaded.count,
        overlays=() if loaded is None else loaded.overlays,
    )


def _check_type(what: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(
            f"{what} {type(value).__name__}, must be a dovetail.backend.{kind.__name__}"
        )


def _check_contract(entry: _Entry) -> Failure | None:
    assert entry.backend is not None
    return contract_failure(entry.found, entry.backend.contract)


_open_runtimes: list[Runtime] = []


def _close_at_exit(runtime: Runtime) -> None:
    import atexit

    if not _open_runtimes:
        atexit.register(_close_all)
    if not any(open_ is runtime for open_ in _open_runtimes):
        _open_runtimes.append(runtime)


def _close_all() -> None:
    while _open_runtimes:
        runtime = _open_runtimes.pop()
        try:
            runtime.close()
        except Exception as error:
            name = type(runtime).__qualname__
            warn(f"{name}.close failed: {one_line(error)}", RuntimeWarning)


registry = Registry()
"""The backends of this process."""
