"""``dovetail devices`` and ``dovetail doctor`` as a person and a program meet them."""

from __future__ import annotations

import json
import re

import pytest
from installed import GOOD, Site

ABSENT = GOOD.replace(
    "def count(self): return 1",
    "def count(self): return 0\n    def why_absent(self): return 'no card in any slot'",
)


@pytest.mark.parametrize("columns", [80, 100])
def test_devices_table(site: Site, columns: int) -> None:
    site.install_loopback()
    site.install("npu", "import absent_driver")
    reason = "no card in any slot: apt-get install the-long-name-of-a-driver-package"
    site.install("other", ABSENT.replace("no card in any slot", reason))
    done = site.command("devices", DOVETAIL_LOOPBACK_MEMORY=str(3 << 20), COLUMNS=str(columns))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.split(" {2,}", lines[0]) == [
        "device", "status", "memory", "dtypes", "hardware, or why it is unusable",
    ]  # fmt: skip
    assert max(map(len, lines)) <= columns
    rows = {line.split()[0]: re.split(" {2,}", line) for line in lines if line and line[0] != " "}
    assert rows["cpu"][1] == "available"
    assert rows["loop:1"][:4] == ["loop:1", "available", "3.0 MiB", "all"]
    assert rows["npu"][1] == "failed"
    assert rows["other"][1] == "no-device"
    start = lines[0].index("hardware")
    assert all(line[start - 2 : start].isspace() for line in lines[2:-2]), "columns are aligned"
    text = " ".join(done.stdout.split())
    assert "dovetail_npu failed to load: ModuleNotFoundError: No module named" in text
    assert "no card in any slot: apt-get install the-long-name-of-a-driver-package" in text
    assert "(dovetail_loopback, 0.1.0)" in text


def test_devices_json(site: Site) -> None:
    site.install_loopback()
    site.install("npu", "import absent_driver")
    done = site.command("devices", "--json")
    assert done.returncode == 0
    rows = {row["device"]: row for row in json.loads(done.stdout)}
    assert {"cpu", "loop:0", "loop:1", "npu"} <= set(rows)
    loop, npu = rows["loop:0"], rows["npu"]
    assert (loop["backend"], loop["status"], loop["reason"]) == (
        *("dovetail_loopback", "available", ""),
    )
    assert (loop["version"], loop["contract"], loop["memory_total"]) == ("0.1.0", "1.0", None)
    assert "bfloat16" in loop["dtypes"]
    assert (npu["status"], npu["distribution"]) == ("failed", "dovetail-npu")
    assert npu["reason"].startswith("dovetail_npu failed to load")
    assert npu["command"] == "pip install absent_driver"


def test_devices_survives_a_device_that_cannot_describe_itself(site: Site) -> None:
    site.install("npu", GOOD.replace('return DeviceInfo("a test device")', "raise OSError('off')"))
    rows = {r["device"]: r for r in json.loads(site.command("devices", "--json").stdout)}
    assert rows["npu:0"]["status"] == "failed"
    assert "OSError: off" in rows["npu:0"]["reason"]


def test_doctor_gives_the_command_that_mends_it(site: Site) -> None:
    site.install("npu", "import absent_driver")
    done = site.command("doctor", "npu", COLUMNS="80")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "npu: failed"
    assert done.stdout.splitlines()[-1] == "    $ pip install absent_driver"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_doctor_asks_the_backend(site: Site) -> None:
    doctor = 'Backend(Host(), "1.2", doctor=lambda: [("the driver is too old", "apt upgrade")]'
    site.install("npu", ABSENT.replace('Backend(Host(), "1.2"', doctor))
    done = site.command("doctor", "--json", "npu")
    assert json.loads(done.stdout) == [
        {
            "device": "npu",
            "status": "no-device",
            "reason": "the driver is too old",
            "advice": "",
            "command": "apt upgrade",
        }
    ]
    assert done.returncode == 1  # who names a device wants it
    assert site.command("doctor").returncode == 0  # a machine may be without a card


def test_doctor_does_not_point_at_itself(site: Site) -> None:
    site.install("npu", ABSENT)
    done = site.command("doctor", "npu")
    assert done.returncode == 1
    assert done.stdout == "npu: no-device\n    no card in any slot\n"


def test_doctor_has_one_heading_for_a_device(site: Site) -> None:
    ways = '[("the driver-of-the-card is too old", "apt upgrade"), ("or use another", "")]'
    doctor = f'Backend(Host(), "1.2", doctor=lambda: {ways}'
    site.install("npu", ABSENT.replace('Backend(Host(), "1.2"', doctor))
    assert site.command("doctor", "npu", COLUMNS="40").stdout.splitlines() == [
        "npu: no-device",
        "    the driver-of-the-card is too old",
        "    $ apt upgrade",
        "    or use another",
    ]


def test_doctor_of_a_plugin_that_raises(site: Site) -> None:
    site.install("npu", GOOD.replace('"1.2"', '"1.2", doctor=lambda: 1 / 0'))
    done = site.command("doctor", "npu")
    assert "doctor() raised ZeroDivisionError: division by zero" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("CUDA_VISIBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
        ("CUDA_VISBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
        ("cuda_visible_devices", "CUDA_VISIBLE_DEVICES"),
        ("DOVETAIL_BACKEND", "DOVETAIL_BACKENDS"),
        ("DOVETAIL_DISABLED", "DOVETAIL_DISABLE"),
        ("DOVETAIL_FALLBCK", "DOVETAIL_FALLBACK"),
        ("OMP_NUM_THREAD", "OMP_NUM_THREADS"),
    ],
)
def test_near_misses(variable: str, meant: str) -> None:
    from dovetail.cli.doctor import near_misses

    assert near_misses({variable: "0", "PATH": "/bin"}) == [(variable, meant)]


def test_no_false_alarms() -> None:
    from dovetail.cli.doctor import KNOWN_VARIABLES, near_misses

    others = ("NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "NUMEXPR_NUM_THREADS", "HOME")
    assert near_misses(dict.fromkeys((*KNOWN_VARIABLES, *others), "1")) == []


def test_doctor_prints_near_misses(site: Site) -> None:
    done = site.command("doctor", CUDA_VISIBLE_DEVICE="0 1", DOVETAIL_DISABLE="nothing")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "CUDA_VISIBLE_DEVICE is set and has no meaning, was CUDA_VISIBLE_DEVICES meant?" in text
    assert "$ export CUDA_VISIBLE_DEVICES='0 1'; unset CUDA_VISIBLE_DEVICE" in text
    assert "DOVETAIL_DISABLE names 'nothing', which no plugin offers" in text


def test_doctor_reports_a_setting_without_meaning(site: Site) -> None:
    done = site.command("doctor", DOVETAIL_FALLBACK="silent")
    assert done.returncode == 1
    assert "$ unset DOVETAIL_FALLBACK" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("devicse",), "dovetail: no command 'devicse', did you mean 'devices'?"),
        (("zzz",), "dovetail: no command 'zzz'; see `dovetail --help`"),
        (
            ("devices", "--xml"),
            "dovetail devices: unrecognized arguments: --xml; see `dovetail devices --help`",
        ),
        (("doctor", "xyz"), "dovetail doctor: no plugin offers a device 'xyz'; there are cpu, "),
    ],
)
def test_bad_usage_is_one_sentence(site: Site, words: tuple[str, ...], sentence: str) -> None:
    done = site.command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_setting_without_meaning_is_one_sentence(site: Site) -> None:
    done = site.command("devices", DOVETAIL_PROBE_TIMEOUT="-1")
    assert done.returncode == 2
    assert done.stderr.startswith("dovetail devices: DOVETAIL_PROBE_TIMEOUT: must be a number")


def test_help_and_version(site: Site) -> None:
    done = site.command("--help")
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in ("demo", "devices", "doctor"))
    assert site.command("--version").stdout.startswith("dovetail ")
    assert site.command().returncode == 2
    done = site.command("devices", "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_commands_join_by_entry_point(site: Site) -> None:
    source = "def main(argv):\n    print('ran', argv)\n    return 5\n"
    points = "[dovetail.commands]\nextra = extra_command:main\ndevices = extra_command:main\n"
    points += "broken = extra_command:nothing\n"
    site.install("x", source, module="extra_command", entry_points=points)
    done = site.command("extra", "a", "--b")
    assert (done.returncode, done.stdout) == (5, "ran ['a', '--b']\n")
    assert "ran" not in site.command("devices").stdout
    assert "\n  extra " in site.command("--help").stdout
    done = site.command("broken")
    assert done.returncode == 2
    assert done.stderr.startswith("dovetail broken: extra_command:nothing failed to load: ")


def test_a_closed_pipe_is_no_traceback(site: Site) -> None:
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'dovetail', 'devices', '--json'],"
        " stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "p.stdout.close()\n"
        "print(p.stderr.read().decode(), p.wait())\n"
    )
    done = site.run("-c", code)
    assert done.stdout.strip() == "141"
