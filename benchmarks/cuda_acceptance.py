"""The whole acceptance of the cuda backend on one GPU, in parts of a few minutes each.

    python benchmarks/cuda_acceptance.py --part products --out products.json
    python benchmarks/cuda_acceptance.py --part sanitizer --group 2/4 --minutes 9 --out s2.json
    python benchmarks/cuda_acceptance.py --part training --rehearse cpu
    python benchmarks/cuda_acceptance.py --table *.json

Parts: conformance (the suite to level 5), sanitizer (compute-sanitizer's memcheck and racecheck
around level 1), and, against PyTorch in the same process, in turn, by CUDA events: products,
convolutions, rows (softmax, layer norm, attention, Adam), training, capture, small (the cost of a
call, and of the import), and ways (of our own beside each other, where a figure has to choose).
``all`` is all of them. Conformance and sanitizer go in groups, ``--group K/N``; ``--table`` makes
one table of what several calls wrote, and says what none of them ran. It needs no installed
package: the repository's own entry points are used where it lies.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuda_measure
import cuda_suite
import tomllib

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "core", "conformance", "backends/cpu", "backends/kernels", "backends/opencl", "backends/cuda",
)  # fmt: skip


def found_here() -> None:
    """Let this process and its children find dovetail and its plugins without an installation."""
    from importlib import metadata

    for source in SOURCES:
        if str(ROOT / source) not in sys.path:
            sys.path.append(str(ROOT / source))
    if not metadata.entry_points(group="dovetail.backends", name="cuda"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        folder = Path(tempfile.mkdtemp(prefix="dovetail-")) / "dovetail-0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: dovetail\nVersion: 0\n")
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
        sys.path.insert(0, str(folder.parent))
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(p for p in sys.path if p))


# ------------------------------------------------- against PyTorch


def sides(options: argparse.Namespace) -> Any:
    """Ours and PyTorch's."""
    import torch
    from cuda_measure import Side

    import dovetail as dt

    theirs = options.rehearse and "cpu"
    return Side(dt, options.device), Side(torch, theirs or options.device)


def facts(table: Any, options: argparse.Namespace, both: Any) -> None:
    """What is compared on what."""
    ours, theirs = both
    name = theirs.module.get_device_name() if theirs.has_events else options.device
    table.fact("device", name)
    table.fact("PyTorch", f"{theirs.torch.__version__}, CUDA {theirs.torch.version.cuda}")
    table.fact("dovetail", str(ours.torch.__version__))


def products(table: Any, options: argparse.Namespace) -> None:
    """Matrix products."""
    import cuda_cases as cases
    from cuda_measure import guarded

    both = sides(options)
    sizes = (64, 100) if options.rehearse else (1024, 2048, 4096, 8192)
    table.begin("products")
    guarded(table, "products", cases.products(both, sizes, options.seconds))
    for mode in cases.MODES:
        rows = [row for row in table.parts["products"] if mode in row.name and not row.error]
        best = max((row.work / min(row.ours, row.theirs) / 1e9 for row in rows), default=0.0)
        table.facts[f"measured peak {mode}, TFLOP/s"] = best
        for row in rows:
            row.more["share of the measured peak"] = row.work / row.ours / 1e9 / best
        if rows:
            last = rows[-1].more["share of the measured peak"]
            print(f"measured peak {mode}: {best:.1f} TFLOP/s; ours at the largest: {last:.3f}")


def convolutions(table: Any, options: argparse.Namespace) -> None:
    """Convolutions of ResNet-50 and VGG19."""
    import cuda_cases as cases
    from cuda_measure import guarded

    shapes = cases.SMALL if options.rehearse else (*cases.RESNET, *cases.VGG)
    table.begin("convolutions")
    modes = tuple(options.modes.split(","))
    guarded(
        table, "convolutions",
        cases.convolutions(sides(options), shapes, modes, 0.4 * options.seconds),
    )  # fmt: skip


def rows(table: Any, options: argparse.Namespace) -> None:
    """Softmax, layer norm, attention, Adam."""
    import cuda_cases as cases
    from cuda_measure import guarded

    both, scale = sides(options), 64 if options.rehearse else 1
    table.begin("rows")
    bandwidth = [cases.copies(side, (1 << 31) // scale**2) for side in both]
    table.fact("copy on the device, GB/s (dovetail, PyTorch)", [round(b) for b in bandwidth])
    guarded(table, "rows", cases.rows(both, scale, 0.5 * options.seconds, max(bandwidth)))
    guarded(table, "rows", cases.attention(both, scale, 0.5 * options.seconds))
    adam = cases.adam(both, 8 if options.rehearse else 1, options.seconds, max(bandwidth))
    guarded(table, "rows", adam)


JOBS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    # title, model, arguments, more arguments where it is captured
    ("ResNet-50 float32", "ResNet-50", {}, {}),
    ("ResNet-50 bfloat16", "ResNet-50", {"precision": "bfloat16"}, {}),
    ("GPT-2 small float32", "GPT-2 small", {}, {"capturable": True}),
    ("GPT-2 small bfloat16", "GPT-2 small", {"precision": "bfloat16"}, {"capturable": True}),
    ("style transfer, VGG19", "style", {}, {"rule": "Adam", "capturable": True}),
)


def _made(both: Any, model: str, arguments: dict[str, Any], options: Any) -> list[Any]:
    """The job on both sides, with equal numbers."""
    from cuda_models import MODELS

    made = [
        MODELS[model](side.torch, side.device, bool(options.rehearse), **arguments) for side in both
    ]
    with both[0].torch.no_grad():
        for mine, other in zip(made[0].tensors, made[1].tensors, strict=True):
            mine.copy_(both[0].take(other.detach()))
    return made


def training(table: Any, options: argparse.Namespace) -> None:
    """Training steps: time and memory."""
    from cuda_measure import Row, compare, guarded

    both = sides(options)
    table.begin("training")

    def job(model: str, arguments: dict[str, Any]) -> Any:
        def run(row: Row) -> None:
            for side in both:
                side.forget()
            made = _made(both, model, arguments, options)
            losses = [[float(j.step().detach()) for _ in range(4)] for j in made]
            row.difference = max(abs(a - b) / abs(b) for a, b in zip(*losses, strict=True))
            seconds = 0.5 if options.rehearse else 5 * options.seconds
            compare(
                row, (both[0], [made[0].step]), (both[1], [made[1].step]), seconds=seconds, warm=8
            )
            row.more["losses"] = [[float(f"{value:.5g}") for value in side] for side in losses]
            peaks: list[float] = []
            reserved: list[float] = []
            for side, j in zip(both, made, strict=True):
                side.forget()
                j.step()
                side.synchronize()
                peaks.append(side.peak() / 2**30)
                reserved.append(round(side.reserved() / 2**30, 3))
            memory.more["reserved, GB"] = reserved
            memory.ours, memory.theirs = peaks
            memory.ratio = peaks[0] / peaks[1] if peaks[1] else float("nan")

        memory = Row("  peak memory", 1.05, measure="GB")
        return run, memory

    for title, model, arguments, _ in JOBS:
        if options.only not in title:
            continue
        run, memory = job(model, arguments)
        guarded(table, "training", [(Row(title, 1.1), run)])
        if memory.ratio == memory.ratio:
            memory.name = f"{title}: peak memory"
            table.add("training", memory)


def capture(table: Any, options: argparse.Namespace) -> None:
    """Training steps replayed from a captured graph, against PyTorch's, eager and captured."""
    from cuda_measure import Row, compare, guarded

    both = sides(options)
    table.begin("capture")

    def captured(side: Any, step: Callable[[], Any]) -> tuple[Callable[[], Any], Any]:
        cuda = side.module
        aside = cuda.Stream()
        aside.wait_stream(cuda.current_stream())
        with cuda.stream(aside):
            for _ in range(3):
                step()
        cuda.current_stream().wait_stream(aside)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            loss = step()
        return graph.replay, loss

    def job(model: str, arguments: dict[str, Any], against: Row) -> Callable[[Row], None]:
        def run(row: Row) -> None:
            for side in both:
                side.forget()
            eager = _made(both, model, arguments, options)
            eager_step = eager[1].step
            mine, loss = captured(both[0], eager[0].step)
            seconds = 3 * options.seconds
            compare(row, (both[0], [mine]), (both[1], [eager_step]), seconds=seconds, warm=4)
            row.more["loss"] = f"{float(loss.detach()):.4f}"
            other, _ = captured(both[1], eager_step)
            compare(against, (both[0], [mine]), (both[1], [other]), seconds=seconds, warm=4)

        return run

    for title, model, arguments, more in JOBS:
        if options.only in title:
            against = Row(f"{title}: both captured")
            run = job(model, arguments | more, against)
            guarded(table, "capture", [(Row(f"{title}: captured, PyTorch eager", 0.9), run)])
            if against.ratio == against.ratio:
                table.add("capture", against)


def small(table: Any, options: argparse.Namespace) -> None:
    """What one call costs the host, and the import."""
    both = sides(options)
    table.begin("small")
    from cuda_measure import Row

    def calls(side: Any) -> dict[str, Callable[[], Any]]:
        torch = side.torch
        with torch.device(side.device):
            x, y, w = torch.randn(10), torch.randn(10), torch.randn(64, 64)
            leaf = torch.randn(10, requires_grad=True)
        return {
            "x + y": lambda: x + y, "x * 2": lambda: x * 2, "relu": lambda: torch.relu(x),
            "x.sum()": lambda: x.sum(), "w @ w": lambda: w @ w, "x.add_(y)": lambda: x.add_(y),
            "zeros(10)": lambda: torch.zeros(10, device=side.device),
            "recorded leaf + y": lambda: leaf + y,
        }  # fmt: skip

    every = [calls(side) for side in both]
    for name in every[0]:
        times: tuple[list[float], list[float]] = ([], [])
        for attempt in range(9):
            for side, named, taken in zip(both, every, times, strict=True):
                call = named[name]
                side.synchronize()
                begin = time.perf_counter()
                for _ in range(400):
                    call()
                if attempt:
                    taken.append((time.perf_counter() - begin) / 400 * 1e6)
                side.synchronize()
        row = Row(f"host's time of {name}", measure="us")
        row.ours, row.theirs = (statistics.median(t) for t in times)
        row.ratio = row.ours / row.theirs
        table.add("small", row)

    def started(text: str) -> float:
        taken = []
        for _ in range(4):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", text], check=True)
            taken.append(time.perf_counter() - begin)
        return min(taken)

    bare = started("pass")
    device = options.device
    for name, text in (
        ("import dovetail", "import dovetail"),
        ("import torch", "import torch"),
        ("dovetail to a first sum on the device",
         f"import dovetail as d; (d.ones(3, device='{device}') + 1).sum().item()"),
        ("torch to a first sum on the device",
         f"import torch as d; (d.ones(3, device='{both[1].device}') + 1).sum().item()"),
    ):  # fmt: skip
        table.fact(f"{name}, s", round(started(text) - bare, 3))


def ways(table: Any, options: argparse.Namespace) -> None:
    """Two ways of our own each, and what cuDNN's plans of float64 compute."""
    import cuda_cases as cases
    import cuda_ways
    from cuda_measure import guarded

    both, scale = sides(options), 64 if options.rehearse else 1
    table.begin("ways")
    guarded(table, "ways", cuda_ways.attentions(both, scale, options.seconds))
    shapes = cases.SMALL if options.rehearse else cases.VGG
    guarded(table, "ways", cuda_ways.biases(both, shapes, 0.5 * options.seconds))
    for name, said in cuda_ways.convolutions_of_float64(options.device):
        table.fact(f"cuDNN's {name} of float64", said)


PARTS: dict[str, Callable[[Any, argparse.Namespace], None]] = {
    "conformance": cuda_suite.conformance, "sanitizer": cuda_suite.sanitizer, "products": products,
    "convolutions": convolutions, "rows": rows, "training": training, "capture": capture,
    "small": small, "ways": ways,
}  # fmt: skip


def _expected() -> list[str]:
    """What all calls together have to have run."""
    rows = [part for part in PARTS if part not in ("conformance", "sanitizer")]
    return [
        *(f"conformance: {name}" for name, _ in cuda_suite.CONFORMANCE),
        *(" ".join(item) for item in cuda_suite.plan()),
        *(f"{name}, seconds" for name in rows),
    ]


def main() -> None:
    """Run the parts that were asked for; the exit code is 0 where they ran, met or not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--part", default="all", help=f"of {', '.join(PARTS)}, all; several by commas")
    add("--group", default="", metavar="K/N", help="of conformance's and the sanitizer's runs")
    add("--table", nargs="+", metavar="JSON", help="one table of these calls; nothing is run")
    add("--minutes", type=float, default=9.0, help="that the call may take, or each of all parts")
    add("--seconds", type=float, default=0.6, help="per comparison")
    add("--out", default="cuda_acceptance.json", help="all figures as JSON")
    add("--device", default="cuda:0")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes of the suite")
    add("--level", type=int, default=5, help="of conformance")
    add("--suite", default="", help="more of the suite's options, in one string")
    add("--sanitizer", default="", help="compute-sanitizer's path, where it is not installed")
    add("--tools", default="memcheck,racecheck", help="the sanitizer's")
    add("--modes", default="float32,tf32,bfloat16", help="of convolutions")
    add("--only", default="", help="trainings whose titles contain this")
    add("--rehearse", metavar="DEVICE", help="small sizes on this device, PyTorch on the cpu")
    options = parser.parse_args()
    if options.table:
        print(cuda_measure.gathered([json.loads(Path(p).read_text()) for p in options.table],
                                    _expected()))  # fmt: skip
        return
    if options.rehearse:
        options.device = options.rehearse
    found_here()
    table = cuda_measure.Table()
    names = list(PARTS) if options.part == "all" else options.part.split(",")
    if set(names) - {"conformance", "sanitizer"}:
        facts(table, options, sides(options))
    allowed = 60 * options.minutes
    table.end = time.monotonic() + allowed
    for name in names:
        begin = time.perf_counter()
        if options.part == "all":
            table.end = time.monotonic() + allowed
        PARTS[name](table, options)
        table.fact(f"{name}, seconds", round(time.perf_counter() - begin))
        Path(options.out).write_text(json.dumps(table.data(), indent=1, default=str))
    print("\n" + table.summary())


if __name__ == "__main__":
    main()
