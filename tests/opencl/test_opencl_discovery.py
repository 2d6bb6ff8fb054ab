"""Which device ``opencl:0`` is, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dovetail as dt

HIDDEN = {"OCL_ICD_VENDORS": "/nonexistent", "OCL_ICD_FILENAMES": ""}
"""What Khronos' loader and Debian's are told, so that they find no driver."""

NO_WHEELS = """
import site, sys
site.USER_BASE = sys.prefix = "/nonexistent"
"""
"""Where wheels of Intel's runtime are installed, what they lack is told first."""


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_error_names_the_variable_that_hides_drivers() -> None:
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    code = """
import dovetail as dt
from dovetail_opencl.doctor import doctor
from dovetail_opencl.runtime import OpenCLRuntime
assert OpenCLRuntime().count() == 0
print(doctor()[0])
try:
    dt.ones(1, device="opencl:0")
except RuntimeError as error:
    print("refused:", error)
"""
    first, refused = _python(NO_WHEELS + code, **HIDDEN).splitlines()
    reason = "OCL_ICD_VENDORS names /nonexistent, which does not exist"
    assert first == repr((reason, "unset OCL_ICD_VENDORS"))
    assert refused == f"refused: opencl: {reason}; see `dovetail doctor opencl`"


def test_the_demo_says_why_there_is_no_device(tmp_path: Path) -> None:
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    code = f"{NO_WHEELS}from dovetail.cli import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--device", "opencl:0", "--out", str(tmp_path)],
        env={**os.environ, **HIDDEN},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    for part in ("opencl:0", "OCL_ICD_VENDORS names /nonexistent", "dovetail doctor opencl"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH"])
@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_variable_that_hides_an_installed_driver_is_all_that_is_said(
    root: Path, tmp_path: Path, name: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail_opencl import absence

    (tmp_path / "empty").mkdir()
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "pocl.icd").write_text("libpocl.so.2\n")
    monkeypatch.setattr(absence, "VENDORS", tmp_path / "vendors")
    monkeypatch.setenv(name, str(tmp_path / folder))
    ((reason, command),) = absence.without_platform()
    assert reason.startswith(f"{name} names {tmp_path / folder}, which ")
    assert command == f"unset {name}"


def test_a_variable_comes_before_what_is_not_installed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail_opencl.absence import NO_DRIVER, without_platform

    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path / "missing"))
    first, second, without_root = without_platform()
    assert first[1] == "unset OCL_ICD_VENDORS"
    assert second == (NO_DRIVER, "sudo apt-get install pocl-opencl-icd")
    assert without_root[0].startswith("or without root")


def test_without_pyopencl_the_step_is_to_install_it() -> None:
    code = """
import sys
sys.modules["pyopencl"] = None
from dovetail_opencl.doctor import doctor
print(doctor())
"""
    assert "pip install 'dovetail[opencl]'" in _python(code)


def test_the_variable_chooses_by_number_and_by_name(fresh: Callable[..., str]) -> None:
    from dovetail_opencl.discovery import discover

    device = discover().devices[0]
    code = "import dovetail as dt; print(dt.ones(2, device='opencl:0').sum().item())"
    assert fresh(code, DOVETAIL_OPENCL=device.platform.name[:8].lower()).strip() == "2.0"
    assert fresh(code, DOVETAIL_OPENCL=f":{device.name[:6]}").strip() == "2.0"


def test_a_choice_that_fits_nothing_lists_what_there_is(opencl: dt.device) -> None:
    from dovetail_opencl.discovery import discover

    found = discover("no such platform:3")
    assert not found.devices
    assert found.reason.startswith("DOVETAIL_OPENCL=no such platform:3: no such device; there are ")


def test_devices_have_an_order_that_stays(opencl: dt.device) -> None:
    from dovetail_opencl.discovery import discover

    names = [d.name for d in discover().devices]
    discover.cache_clear()
    assert [d.name for d in discover().devices] == names


def test_the_doctor_names_the_device_that_there_is(opencl: dt.device) -> None:
    from dovetail_opencl.discovery import discover
    from dovetail_opencl.doctor import doctor

    first = discover().devices[0]
    reason, command = doctor()[0]
    assert reason.startswith("opencl:0 is a ")
    assert first.name in reason
    assert first.driver_version in reason
    assert command == ""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python was installed to, on a Debian machine without an OpenCL driver."""
    from dovetail_opencl import absence

    monkeypatch.setattr(absence, "VENDORS", tmp_path / "nowhere")
    monkeypatch.setattr(absence, "_is_for_wheels", lambda: True)
    monkeypatch.setattr("dovetail_opencl.hardware.distributions", lambda: ["debian"])
    monkeypatch.setattr("dovetail_opencl.hardware.is_root", lambda: False)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "the root"))
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path / "user"))
    for name in absence.HIDING:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "the root"


def _install_wheels(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Intel's wheels leave there; that the library loads is pretended."""
    for folder in ("lib", "etc/OpenCL/vendors"):
        (root / folder).mkdir(parents=True)
    (root / "lib/libintelocl.so").write_bytes(b"")
    named = "/opt/anaconda1anaconda2anaconda3/lib/libintelocl.so"
    (root / "etc/OpenCL/vendors/intel-cpu.icd").write_text(named)
    monkeypatch.setattr("ctypes.CDLL", lambda path: path)


def test_there_is_a_way_without_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail_opencl import absence

    with_root, (reason, command) = absence.without_platform()
    assert with_root == (absence.NO_DRIVER, "sudo apt-get install pocl-opencl-icd")
    assert "without root" in reason
    assert "lasts for this shell" in reason
    install, name, show = command.split(" && ")
    assert install == "pip install intel-opencl-rt intel-cmplr-lib-rt"
    _install_wheels(root, monkeypatch)
    steps = [c for _, c in absence.without_platform()]
    assert steps == [name, show], "the same steps one by one, and no other driver to install"
    monkeypatch.setattr(absence, "_is_for_wheels", lambda: False)
    (root / "lib/libintelocl.so").unlink()
    assert len(absence.without_platform()) == 1, "there are no wheels for other machines"


def test_the_commands_mend_a_wheel_whose_file_names_no_library(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail_opencl.absence import UNANSWERED, without_platform

    _install_wheels(root, monkeypatch)
    icd = root / "etc/OpenCL/vendors/intel-cpu.icd"
    (reason, command) = without_platform()[0]
    assert reason == f"{icd} names {icd.read_text()}, which does not exist"
    subprocess.run(command, shell=True, check=True)
    assert Path(icd.read_text().strip()).samefile(root / "lib/libintelocl.so")
    ((reason, command),) = without_platform()
    assert reason.startswith(f"the loader of drivers does not look in {icd.parent} (")
    assert "lasts for this shell" in reason
    told = subprocess.check_output(f"{command}; echo $OCL_ICD_VENDORS", shell=True, text=True)
    monkeypatch.setenv("OCL_ICD_VENDORS", told.strip())
    assert without_platform() == [(f"{UNANSWERED} {root}", "")], "all that can be seen is mended"
    icd.unlink()
    icd.parent.rmdir()
    ((_, command),) = (row for row in without_platform() if row[0].startswith("no file names"))
    subprocess.run(command, shell=True, check=True)
    assert without_platform() == [(f"{UNANSWERED} {root}", "")]


def test_what_a_library_lacks_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail_opencl.absence import without_platform

    _install_wheels(root, monkeypatch)

    def lacking(path: str) -> None:
        raise OSError("libimf.so: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", lacking)
    (reason, command) = without_platform()[0]
    assert "libintelocl.so cannot be loaded: libimf.so" in reason
    assert command == "pip install intel-cmplr-lib-rt"
