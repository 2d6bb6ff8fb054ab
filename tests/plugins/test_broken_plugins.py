"""A broken plugin breaks its own device, in its own words, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from installed import GOOD, Site

from dovetail.backend import CONTRACT_VERSION

PROBE = """
import json, sys
import dovetail as dt
from dovetail.backend import BackendUnavailable, ContractVersionError, registry

name = {name!r}
early = [m for m in sys.modules if m.startswith("dovetail_") and m != "dovetail_cpu"]
cpu = (dt.ones(3) + 1).tolist()
try:
    dt.zeros(2, device=name)
    message = kind = cause = None
except BackendUnavailable as error:
    message, kind = str(error), type(error).__name__
    cause = error.__cause__ and type(error.__cause__).__name__
except RuntimeError as error:
    message, kind, cause = str(error), type(error).__name__, None
records = {{r.name: r for r in registry.report()}}
record = records.get(name)
print(json.dumps({{
    "early": early, "cpu": cpu, "message": message, "kind": kind, "cause": cause,
    "status": record and record.status, "reason": record and record.reason,
    "command": record and record.command, "distribution": record and record.distribution,
    "exception": record and record.exception and type(record.exception).__name__,
    "cpu_status": records["cpu"].status, "names": registry.names(),
    "after": (dt.ones(2) * 3).tolist(),
}}))
"""


def probe(site: Site, name: str, **environ: str) -> dict[str, Any]:
    """What a process sees of ``name``; that the rest is unharmed is checked here."""
    seen = site.json(PROBE.format(name=name), **environ)
    assert seen["early"] == [], "import dovetail imported a plugin"
    assert (seen["cpu"], seen["after"]) == ([2.0] * 3, [3.0] * 2)
    assert seen["cpu_status"] == "available"
    assert seen["message"] is None or "\n" not in seen["message"]
    return seen


def spoiled(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


OURS = ".".join(map(str, CONTRACT_VERSION))
CONTRACT = f"was built for backend contract {{}}, this dovetail has {OURS}; update {{}}"

CASES = {
    "a module that is missing": (
        "import absent_driver\n" + GOOD,
        "npu: dovetail_npu failed to load: ModuleNotFoundError: No module named 'absent_driver'; "
        "install absent_driver, or set DOVETAIL_DISABLE=npu",
        "ModuleNotFoundError",
        "pip install absent_driver",
    ),
    "an exception while it is imported": (
        "1 / 0\n" + GOOD,
        "npu: dovetail_npu failed to load: ZeroDivisionError: division by zero; update or "
        "reinstall dovetail-npu, or set DOVETAIL_DISABLE=npu",
        "ZeroDivisionError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "an exit while it is imported": (
        "raise SystemExit('no licence')\n" + GOOD,
        "npu: dovetail_npu failed to load: SystemExit: no licence; ",
        "SystemExit",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a syntax error": (
        "def\n" + GOOD,
        "npu: dovetail_npu failed to load: SyntaxError: ",
        "SyntaxError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a misspelt hook": (
        spoiled("def dovetail_backend", "def dovetail_bakend"),
        "npu: dovetail_npu failed to load: NameError: unknown hook 'dovetail_bakend', did you "
        "mean 'dovetail_backend'?; ",
        "NameError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a misspelt second hook": (
        GOOD + "\n@hookimpl\ndef dovetail_report_haeder(): return 'x'\n",
        "npu: dovetail_npu failed to load: NameError: unknown hook 'dovetail_report_haeder', did "
        "you mean 'dovetail_report_header'?; ",
        "NameError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a hook with a parameter that is not specified": (
        GOOD + "\n@hookimpl\ndef dovetail_ops(registry, colour): pass\n",
        "npu: dovetail_npu failed to load: PluginValidationError: ",
        "PluginValidationError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "no hook at all": (
        spoiled("@hookimpl\n", ""),
        "npu: dovetail_npu failed to load: NameError: no hook 'dovetail_backend'; define it and "
        "mark it with @dovetail.backend.hookimpl; ",
        "NameError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a hook that raises": (
        spoiled("return Backend(", "raise OSError('bus error')\n    Backend("),
        "npu: dovetail_npu failed to load: OSError: bus error; ",
        "OSError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a hook that returns nothing": (
        spoiled("return Backend(", "Backend("),
        "npu: dovetail_npu failed to load: TypeError: dovetail_backend returned NoneType, must be "
        "a dovetail.backend.Backend; ",
        "TypeError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "a runtime that lacks a method": (
        spoiled("    def free(self, buffer): pass\n", ""),
        "npu: dovetail_npu failed to load: TypeError: Can't instantiate abstract class Host ",
        "TypeError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "count() that raises": (
        spoiled("def count(self): return 1", "def count(self): raise OSError('no bus')"),
        "npu: dovetail_npu could not list its devices: OSError: no bus; ",
        "OSError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "count() that is no number": (
        spoiled("def count(self): return 1", "def count(self): return 'two'"),
        "npu: dovetail_npu could not list its devices: TypeError: count() must return an int of "
        "at least 0, got 'two'; ",
        "TypeError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
    "count() that hangs": (
        spoiled("def count(self): return 1", "def count(self): import time; time.sleep(60)"),
        "npu: count() of dovetail_npu hung: no answer within 0.4 s; set DOVETAIL_PROBE_TIMEOUT to "
        "more seconds if the device is slow to answer, or set DOVETAIL_DISABLE=npu",
        "TimeoutError",
        "export DOVETAIL_PROBE_TIMEOUT=2.4",
    ),
    "kernels() that raises": (
        spoiled("return KernelTable(contract=(1, 0))", "raise OSError('no compiler')"),
        "npu: dovetail_npu could not list its devices: OSError: no compiler; ",
        "OSError",
        "pip install --upgrade --force-reinstall dovetail-npu",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken(site: Site, case: str) -> None:
    source, message, cause, command = CASES[case]
    site.install("npu", source)
    seen = probe(site, "npu", DOVETAIL_PROBE_TIMEOUT="0.4")
    assert seen["kind"] == "BackendUnavailable"
    assert seen["message"].startswith(message)
    assert seen["message"].endswith("or set DOVETAIL_DISABLE=npu")
    assert (seen["cause"], seen["exception"]) == (cause, cause)
    assert seen["status"] == "failed"
    assert seen["reason"] in seen["message"]
    assert seen["command"] == command


@pytest.mark.parametrize(
    ("old", "new", "built", "update"),
    [
        ('"1.2", contract=(1, 0)', '"1.2", contract=(2, 3)', "2.3", "dovetail"),
        ('"1.2", contract=(1, 0)', '"1.2", contract=(0, 9)', "0.9", "dovetail-npu"),
        ("KernelTable(contract=(1, 0))", "KernelTable(contract=(2, 0))", "2.0", "dovetail"),
    ],
)
def test_another_contract_version(site: Site, old: str, new: str, built: str, update: str) -> None:
    site.install("npu", spoiled(old, new))
    seen = probe(site, "npu")
    command = f"pip install --upgrade {update}"
    assert seen["kind"] == "ContractVersionError"
    assert seen["message"] == (
        f"npu: dovetail_npu was built for backend contract {built}, this dovetail has {OURS}; "
        f"update {update} (`{command}`), or set DOVETAIL_DISABLE=npu"
    )
    assert (seen["status"], seen["command"]) == ("incompatible", command)


def test_another_minor_version_is_served(site: Site) -> None:
    site.install("npu", spoiled('"1.2", contract=(1, 0)', '"1.2", contract=(1, 7)'))
    record = probe(site, "npu")
    assert record["status"] == "available"


def test_missing_module_of_an_extra_names_the_extra(site: Site) -> None:
    site.install("npu", "import absent_driver\n" + GOOD, extras=("npu", "docs"))
    seen = probe(site, "npu")
    assert "; install dovetail-npu[npu], or set" in seen["message"]
    assert seen["command"] == 'pip install "dovetail-npu[npu]"'


def test_two_distributions_of_one_name(site: Site) -> None:
    site.install("npu", distribution="first-npu", module="dovetail_first")
    site.install("npu", distribution="second-npu", module="dovetail_second", version="3.1")
    site.install("other")
    seen = probe(site, "npu")
    assert seen["message"] == (
        "npu: the name is offered by 2 plugins: first-npu 1.0 and second-npu 3.1; uninstall all "
        "but one, or set DOVETAIL_DISABLE=npu"
    )
    assert seen["status"] == "failed"
    assert seen["distribution"] == "first-npu, second-npu"
    assert probe(site, "other")["status"] == "available"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-npu", "'my-npu' is no device name: lower-case letters, digits and '_' only"),
        ("NPU", "'NPU' is no device name"),
        ("2nd", "'2nd' is no device name"),
        ("class", "'class' is a Python keyword"),
        ("cpu", "the name 'cpu' belongs to dovetail itself"),
        ("meta", "the name 'meta' belongs to dovetail itself"),
        ("add", "the name 'add' is taken by dovetail.add"),
        ("nn", "the name 'nn' is taken by "),
        ("requires_grad_", "the name 'requires_grad_' is taken by Tensor.requires_grad_"),
    ],
)
def test_names_that_cannot_be_served(site: Site, name: str, reason: str) -> None:
    site.install(name, module="dovetail_spoiler", distribution="spoiler")
    code = """
import json
import dovetail as dt
from dovetail.backend import registry
records = [r for r in registry.report() if r.distribution == "spoiler"]
print(json.dumps([[dt.ones(3).tolist(), dt.ones(2, device="meta").shape[0]],
    [(r.name, r.status, r.reason, r.command) for r in records]]))
"""
    built_in, records = site.json(code)
    assert built_in == [[1.0] * 3, 2]
    assert len(records) == 1
    assert records[0][:2] == [name, "failed"]
    assert records[0][2].startswith(reason)
    assert records[0][3] == "pip uninstall spoiler"


def test_unknown_name_lists_those_that_exist(site: Site) -> None:
    site.install("npu")
    seen = probe(site, "xyz:1")
    names = ", ".join(seen["names"])
    assert "npu" in seen["names"]
    assert seen["kind"] == "RuntimeError"
    assert seen["message"] == (
        f"Expected one of {names} device type at start of device string: xyz"
    )


def test_no_hardware(site: Site) -> None:
    absent = "def count(self): return 0\n    def why_absent(self): return 'no card in any slot'"
    site.install("npu", spoiled("def count(self): return 1", absent))
    seen = probe(site, "npu")
    assert seen["message"] == "npu: no card in any slot; see `dovetail doctor npu`"
    assert (seen["kind"], seen["status"]) == ("BackendUnavailable", "no-device")


def test_index_out_of_range(site: Site) -> None:
    site.install("npu")
    seen = probe(site, "npu:3")
    assert seen["kind"] == "RuntimeError"
    assert seen["message"].startswith("npu:3: device index must be below 1")


def test_disable(site: Site) -> None:
    site.install("npu", "1 / 0")
    seen = probe(site, "npu", DOVETAIL_DISABLE="other, npu,cpu")
    assert seen["status"] == "disabled"
    assert seen["message"] == (
        "npu: disabled by DOVETAIL_DISABLE=other,npu,cpu; use `export "
        "DOVETAIL_DISABLE=other,cpu` to have it back"
    )


def test_allow_list(site: Site) -> None:
    site.install("npu")
    site.install("other")
    seen = probe(site, "npu", DOVETAIL_BACKENDS="other")
    assert seen["status"] == "disabled"
    assert "not in DOVETAIL_BACKENDS=other" in seen["message"]
    assert probe(site, "other", DOVETAIL_BACKENDS="other")["status"] == "available"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("1 / 0", "BackendUnavailable: DOVETAIL_STRICT: npu: dovetail_npu failed to load"),
        (spoiled('"1.2", contract=(1, 0)', '"", contract=(2, 0)'), "ContractVersionError"),
    ],
)
def test_strict_makes_a_failing_plugin_an_error(site: Site, source: str, error: str) -> None:
    site.install("npu", source)
    code = "import dovetail as dt; dt.zeros(2)"
    assert site.run("-c", code).returncode == 0
    done = site.run("-c", code, DOVETAIL_STRICT="1")
    assert done.returncode == 1
    assert error in done.stderr


def test_strict_accepts_what_works_and_what_is_absent(site: Site) -> None:
    site.install("npu")
    site.install("other", spoiled("def count(self): return 1", "def count(self): return 0"))
    code = "import dovetail as dt; print(dt.zeros(2).tolist())"
    done = site.run("-c", code, DOVETAIL_STRICT="1")
    assert (done.stdout, done.stderr) == ("[0.0, 0.0]\n", "")


def test_malformed_metadata_of_a_stranger(site: Site) -> None:
    site.install("npu")
    site.install("x", distribution="stranger", entry_points="[console_scripts]\nno equals sign\n")
    code = """
import json
import dovetail as dt
from dovetail.backend import registry
print(json.dumps([dt.ones(3).tolist(), [(r.status, r.reason) for r in registry.report()
                  if r.name == "npu" or "stranger" in r.distribution]]))
"""
    values, records = site.json(code)
    assert values == [1.0] * 3
    assert ["available", ""] in records
    others = [reason for status, reason in records if status == "failed"]
    assert len(others) <= 1  # Python's own reader may be lenient
    assert all("cannot be read" in reason for reason in others)


def test_bad_timeout_is_one_sentence(site: Site) -> None:
    code = "import dovetail as dt; dt.zeros(2)"
    done = site.run("-c", code, DOVETAIL_PROBE_TIMEOUT="soon")
    expected = "DOVETAIL_PROBE_TIMEOUT: must be a number of seconds above 0, got 'soon'"
    assert done.stderr.strip().endswith(expected)


def test_hooks_of_a_working_plugin(site: Site) -> None:
    source = GOOD + (
        "\n@hookimpl\ndef dovetail_report_header(): return 'npu driver 7'\n"
        "\n@hookimpl\ndef dovetail_conformance_items(items): items.append('extra')\n"
        "\n@hookimpl\ndef dovetail_ops(registry): registry.from_npu = True\n"
    )
    site.install("npu", source)
    code = """
import json
import dovetail
from dovetail.backend import registry
registry.get("npu")
items = []
registry.hook.dovetail_conformance_items(config=None, items=items)
print(json.dumps([registry.hook.dovetail_report_header(), items, dovetail.ops.from_npu]))
"""
    assert site.json(code) == [["npu driver 7"], ["extra"], True]
