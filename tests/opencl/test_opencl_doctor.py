"""What the doctor says to who has a GPU: on machines that are told here, file by file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail_opencl import doctor, drivers, hardware, settings

CPU, GPU = 2, 4
"""CL_DEVICE_TYPE_CPU and CL_DEVICE_TYPE_GPU."""


def device(name: str, kind: int = GPU, vendor: int = 0x1002, version: str = "OpenCL 3.0 x") -> Any:
    return SimpleNamespace(
        name=name, type=kind, vendor_id=vendor, version=version, driver_version="1.0",
        available=True, compiler_available=True, endian_little=True,
    )  # fmt: skip


def platform(name: str, *devices: Any, error: Exception | None = None) -> Any:
    def get_devices() -> list[Any]:
        if error is not None:
            raise error
        return list(devices)

    made = SimpleNamespace(name=name, version="OpenCL 3.0 x", get_devices=get_devices)
    for each in devices:
        each.platform = made
    return made


POCL = "Portable Computing Language"
ROCM = "AMD Accelerated Parallel Processing"
RADEON = "AMD Radeon RX 7900 XTX"


def pocl() -> Any:
    return platform(POCL, device("pthread-skylake", CPU, 0x8086))


class Machine:
    """A machine with no GPU and no platform, to which a test adds."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.platforms, self.patch = root, list[Any](), monkeypatch
        (root / "dri").mkdir()
        monkeypatch.setattr(hardware, "PCI", root / "pci")
        monkeypatch.setattr(hardware, "NODES", root / "dri")
        monkeypatch.setattr(hardware, "COMPUTE", root / "kfd")
        monkeypatch.setattr(hardware, "is_root", lambda: False)
        monkeypatch.setattr("pyopencl.get_platforms", lambda: self.platforms)
        self.runs("debian")
        for name in ("RUSTICL_ENABLE", *settings.VARIABLES):
            monkeypatch.delenv(name, raising=False)

    def runs(self, name: str, like: str = "") -> None:
        told = {"ID": name, "ID_LIKE": like}
        self.patch.setattr("platform.freedesktop_os_release", lambda: told)

    def gpu(self, vendor: str, kind: str = "0x030000", place: str = "0000:03:00.0") -> None:
        folder = self.root / "pci" / place
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
        (self.root / "dri" / "renderD128").touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    from dovetail_opencl.discovery import discover

    discover.cache_clear()
    yield Machine(tmp_path, monkeypatch)
    discover.cache_clear()


def test_devices_are_told_in_their_order_with_class_and_driver(machine: Machine) -> None:
    machine.platforms = [pocl(), platform(ROCM, device(RADEON))]
    assert doctor.doctor() == [
        (f"opencl:0 is a gpu: {RADEON} ({ROCM}, OpenCL 3.0 x, driver 1.0)", ""),
        (f"opencl:1 is a cpu: pthread-skylake ({POCL}, OpenCL 3.0 x, driver 1.0)", ""),
    ]
    machine.patch.setenv("DOVETAIL_OPENCL_CLASS", "CPU")
    assert doctor.doctor()[0][0].endswith(", with kernels for a cpu (DOVETAIL_OPENCL_CLASS)")


@pytest.mark.parametrize("said", ["nothing", "an error"])
def test_a_platform_without_a_device_is_told_though_another_has_one(
    machine: Machine, said: str
) -> None:
    import pyopencl as cl

    machine.gpu("0x1002")
    error = cl.LogicError("clGetDeviceIDs failed: DEVICE_NOT_FOUND")
    machine.platforms = [pocl(), platform("rusticl", error=error if said == "an error" else None)]
    first, mesa, rocm = doctor.doctor()
    assert first[0].startswith("opencl:0 is a cpu")
    assert mesa[0].startswith("rusticl: has no device, for RUSTICL_ENABLE names no driver (")
    assert mesa[1] == "export RUSTICL_ENABLE=radeonsi"
    start = "the AMD GPU at 0000:03:00.0 is no OpenCL device; what makes it one is AMD's ROCm, "
    assert rocm[0].startswith(start)
    assert rocm[1] == "sudo apt-get install rocm-opencl-icd"
    machine.patch.setenv("RUSTICL_ENABLE", "iris")
    assert doctor.doctor()[1] == (
        "rusticl: has no device, though RUSTICL_ENABLE is iris: it can open no such GPU", "",
    )  # fmt: skip


def test_other_troubles_of_a_platform_are_told_as_they_are(machine: Machine) -> None:
    import pyopencl as cl

    old = device(RADEON, version="OpenCL 1.1 Mesa 22.3.6")
    failing = platform("Broken", error=cl.RuntimeError("clGetDeviceIDs failed: OUT_OF_HOST_MEMORY"))
    machine.platforms = [platform("Clover", old), failing]
    assert [reason for reason, _ in doctor.doctor()] == [
        f"no OpenCL device; Clover: {RADEON} has OpenCL 1.1, 1.2 is needed; "
        "Broken: clGetDeviceIDs failed: OUT_OF_HOST_MEMORY",
        f"Clover: {RADEON} has OpenCL 1.1, 1.2 is needed",
        "Broken: clGetDeviceIDs failed: OUT_OF_HOST_MEMORY",
    ]


@pytest.mark.parametrize(
    ("vendor", "system", "like", "commands"),
    [
        (
            "0x1002", "linuxmint", "ubuntu debian",
            ["sudo apt-get install mesa-opencl-icd && export RUSTICL_ENABLE=radeonsi",
             "sudo apt-get install rocm-opencl-icd"],
        ),
        (
            "0x1002", "nobara", "fedora",
            ["sudo dnf install mesa-libOpenCL && export RUSTICL_ENABLE=radeonsi",
             "sudo dnf install rocm-opencl"],
        ),
        (
            "0x8086", "arch", "",
            ["sudo pacman -S intel-compute-runtime",
             "sudo pacman -S opencl-mesa && export RUSTICL_ENABLE=iris"],
        ),
        ("0x10de", "debian", "", ["sudo apt-get install nvidia-opencl-icd"]),
        ("0x10de", "fedora", "", [""]),
        ("0x1002", "gentoo", "", ["", ""]),
        ("0x102b", "debian", "", []),
    ],
)  # fmt: skip
def test_a_gpu_that_is_no_device_has_its_packages(
    machine: Machine, vendor: str, system: str, like: str, commands: list[str]
) -> None:
    machine.gpu(vendor)
    machine.runs(system, like)
    machine.platforms = [pocl()]
    said = doctor.doctor()[1:]
    assert [command for _, command in said] == commands
    for reason, command in said:
        assert command or "(debian)" in reason, "the names of packages, where no command is known"


def test_a_driver_that_is_there_is_not_to_be_installed(machine: Machine) -> None:
    machine.gpu("0x1002")
    machine.platforms = [pocl(), platform(ROCM)]
    said = doctor.doctor()[1:]
    assert said[0] == (f"{ROCM}: has no device", "")
    assert [command for _, command in said[1:]] == [
        "sudo apt-get install mesa-opencl-icd && export RUSTICL_ENABLE=radeonsi"
    ]


def test_a_gpu_that_is_a_device_wants_nothing(machine: Machine) -> None:
    machine.gpu("0x1002")
    machine.gpu("0x8086", kind="0x020000", place="0000:04:00.0")  # a network card
    machine.platforms = [platform(ROCM, device(RADEON)), pocl()]
    assert len(doctor.doctor()) == 2
    machine.patch.setenv("DOVETAIL_OPENCL", "Portable")
    machine.patch.setattr("dovetail_opencl.doctor.discover", _fresh())
    _, left_out = doctor.doctor()
    assert left_out[0].startswith(f"DOVETAIL_OPENCL=Portable leaves out: gpu: {RADEON} (")


def _fresh() -> Callable[[], Any]:
    from dovetail_opencl.discovery import discover

    discover.cache_clear()
    return discover


def test_the_gpus_driver_comes_before_the_hosts(machine: Machine) -> None:
    import pyopencl as cl

    from dovetail_opencl import absence

    def none() -> list[Any]:
        raise cl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")

    machine.patch.setattr("pyopencl.get_platforms", none)
    machine.patch.setattr(absence, "VENDORS", machine.root / "nowhere")
    machine.patch.setattr(absence, "_is_for_wheels", lambda: False)
    machine.patch.setattr("sys.prefix", str(machine.root))
    machine.patch.setattr("site.getuserbase", lambda: str(machine.root))
    for name in absence.HIDING:
        machine.patch.delenv(name, raising=False)
    machine.gpu("0x8086")
    commands = [command for _, command in doctor.doctor()]
    assert commands[0] == "sudo apt-get install intel-opencl-icd"
    assert commands[-1] == "sudo apt-get install pocl-opencl-icd"
    machine.patch.setattr(hardware, "is_root", lambda: True)
    assert doctor.doctor()[0][1] == "apt-get install intel-opencl-icd", "a container has no sudo"


@pytest.mark.skipif(os.name != "posix", reason="files have no groups here")
def test_a_node_that_may_not_be_opened_is_named_with_its_group(machine: Machine) -> None:
    machine.gpu("0x1002")
    machine.platforms = [pocl()]
    machine.patch.setattr("os.access", lambda path, mode: False)
    for group, command in (
        ("render", "sudo usermod -aG render $USER"),
        ("root", "sudo usermod -aG render,video $USER"),
    ):
        machine.patch.setattr(Path, "group", lambda path, group=group: group)
        reason, told = doctor.doctor()[1]
        assert reason.startswith(f"this user may not open {machine.root}/dri/renderD128, ")
        assert told == command


def test_a_kernel_without_a_driver_is_told(machine: Machine) -> None:
    machine.gpu("0x1002")
    (machine.root / "dri" / "renderD128").unlink()
    machine.platforms = [pocl()]
    assert doctor.doctor()[1][0].startswith(f"there is no {machine.root}/dri/renderD*: the kernel ")


def test_every_vendor_has_ways_and_every_package_a_command() -> None:
    assert set(drivers.WAYS) == set(hardware.VENDORS.values())
    for ways in drivers.WAYS.values():
        for way in ways:
            assert set(way.packages) <= set(drivers.INSTALL)


# Variables.


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1073741825", 1073741825), ("1e9", 10**9), ("1GB", 10**9), ("512MiB", 512 << 20),
        ("1.5 gib", 3 << 29), ("2k", 2000), ("", None), ("0", 0),
    ],
)  # fmt: skip
def test_memory_is_a_number_of_bytes(
    text: str, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.MEMORY, text)
    assert settings.memory() == number


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (settings.MEMORY, "1 apple", "must be bytes, such as 1e9, 1GB or 512MiB, got '1 apple'"),
        (settings.MEMORY, "-1", "must be bytes, such as 1e9, 1GB or 512MiB, got '-1'"),
        (settings.CLASS, "tpu", "must be cpu or gpu, got 'tpu'"),
        (settings.PATIENCE, "many", "must be a whole number of calls, got 'many'"),
    ],
)
def test_a_value_without_meaning_is_refused_in_a_sentence(
    machine: Machine, name: str, text: str, sentence: str
) -> None:
    machine.platforms = [pocl()]
    machine.patch.setenv(name, text)
    asked: dict[str, Callable[[], object]] = {
        settings.MEMORY: settings.memory,
        settings.CLASS: settings.class_of_kernels,
        settings.PATIENCE: lambda: settings.patience(256),
    }
    with pytest.raises(ValueError, match=r"^DOVETAIL_OPENCL_") as caught:
        asked[name]()
    assert str(caught.value) == f"{name}: {sentence}"
    assert doctor.doctor()[0] == (f"{name}: {sentence}", f"unset {name}")


def test_a_device_obeys_its_variables(fresh: Callable[..., str]) -> None:
    code = """
from dovetail_opencl.runtime import OpenCLRuntime, device_of
device = device_of(0)
print(OpenCLRuntime().info(0).memory_total, device.is_cpu, device.patience)
"""
    named = {settings.MEMORY: "64MiB", settings.CLASS: "GPU", settings.PATIENCE: "7"}
    assert fresh(code, **named).split() == [str(64 << 20), "False", "7"]


def test_a_variable_that_there_is_not_is_told(machine: Machine) -> None:
    machine.platforms = [pocl()]
    machine.patch.setenv("DOVETAIL_OPENCL_TUNING", "1")
    reason, command = doctor.doctor()[0]
    assert reason.startswith("DOVETAIL_OPENCL_TUNING has no meaning; there are DOVETAIL_OPENCL, ")
    assert command == "unset DOVETAIL_OPENCL_TUNING"


# Choosing.


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("AMD:7900", [RADEON]),
        (":7900", [RADEON]),
        ("amd:0", [RADEON]),
        ("1", [RADEON, "gfx1100"]),
        ("1:1", ["gfx1100"]),
        (":1", ["gfx1100"]),
        ("0:0, AMD:gfx", ["pthread-skylake", "gfx1100"]),
        (":790", []),
        ("AMD:2", []),
        ("NVIDIA", []),
    ],
)
def test_digits_are_an_index_where_there_is_one_else_a_part_of_a_name(
    machine: Machine, wanted: str, names: list[str]
) -> None:
    from dovetail_opencl.discovery import discover

    machine.platforms = [pocl(), platform(ROCM, device(RADEON), device("gfx1100"))]
    found = discover(wanted)
    assert [d.name for d in found.devices] == names
    assert len(found.devices) + len(found.unused) == 3
    if not names:
        assert found.reason.startswith(f"DOVETAIL_OPENCL={wanted}: no such device; there are ")
        assert found.command == "unset DOVETAIL_OPENCL"


def test_the_number_of_a_device_that_cannot_be_used_is_no_name(machine: Machine) -> None:
    from dovetail_opencl.discovery import discover

    off = device("off")
    off.available = False
    machine.platforms = [platform(ROCM, device("Vega 1"), off)]
    assert not discover(":1").devices
