"""Programs are compiled with the declarations that they use; mistakes in them are told as ever."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dovetail_opencl import declarations
from dovetail_opencl.declarations import Declarations

if TYPE_CHECKING:
    from dovetail_opencl.cache import ProgramCache

HEADER = """// float unheard(float);
#ifndef _OPENCL_H_
#define _OPENCL_H_
#include "opencl-c-base.h"
#define __ovld __attribute__((overloadable))
/* of x:
int hidden(int x); */
float __ovld sin(float x);
float __ovld sin2(float x);
#ifdef cl_khr_fp64
double __ovld sin(double);
double __ovld sin2(double);
#endif // cl_khr_fp64
int __ovld swap(volatile __global int *p,
                int value);
int printf(__constant const char* st, ...) __attribute__((format(printf, 1, 2)));
#endif
"""


def test_a_program_has_all_overloads_of_what_it_names_and_every_directive() -> None:
    made = Declarations(HEADER)
    assert made.before("x = sin(sin(x));\n").splitlines() == [
        "#define __ovld __attribute__((overloadable))",
        "float __ovld sin(float x);",
        "#ifdef cl_khr_fp64",
        "double __ovld sin(double);",
        "#endif",
        "int printf(__constant const char* st, ...) __attribute__((format(printf, 1, 2)));",
        "#line 1",
        "x = sin(sin(x));",
    ]
    assert "int value);\n" in made.before("swap(p, 2)")


@pytest.fixture
def cache(queue: Any) -> ProgramCache:
    """One of its own for ``opencl:0``, whose compiler is PoCL's."""
    from dovetail_opencl.cache import ProgramCache

    made = ProgramCache(queue.context, queue.handle)
    if made.folder is not None or declarations.of_driver(queue.handle.platform.name) is None:
        pytest.skip("the driver is not PoCL, or has its programs from elsewhere")
    return made


MANY = """
kernel void many(global float *x, global int *n, local float *shared) {
    const size_t i = get_global_id(0);
    shared[get_local_id(0)] = fma(exp(x[i]), sin(x[i]), pow(x[i], 2.5f));
    barrier(CLK_LOCAL_MEM_FENCE);
    vstore8(sqrt(vload8(0, x)), 0, x);
    n[i] = convert_int_rte(shared[0]) + max(n[i], 3) + as_int(x[i]) + atomic_cmpxchg(n, 1, 2);
}
"""


def test_the_code_is_that_of_the_whole_header(queue: Any, cache: ProgramCache) -> None:
    import pyopencl as cl

    short = cache.build(MANY, ["-w"])
    assert (cache.compiled, cache.whole) == (1, 0)
    cache._declarations = None
    whole = cache.build(MANY, ["-w"])
    assert (cache.compiled, cache.whole) == (2, 1)
    results = []
    for program in (short, whole):
        x, n = np.linspace(0.5, 2, 8, dtype=np.float32), np.arange(8, dtype=np.int32)
        flags = cl.mem_flags.COPY_HOST_PTR | cl.mem_flags.READ_WRITE
        buffers = [cl.Buffer(queue.context, flags, hostbuf=a) for a in (x, n)]
        cl.Kernel(program, "many")(queue.queue, (1,), (1,), *buffers, cl.LocalMemory(4))
        for array, buffer in zip((x, n), buffers, strict=True):
            cl.enqueue_copy(queue.queue, array, buffer)
        results.append(x.tobytes() + n.tobytes())
    assert results[0] == results[1]


def test_a_name_that_is_pasted_together_has_all_declarations(cache: ProgramCache) -> None:
    pasted = "#define OF(kind) convert_##kind\nkernel void f(global int *x) { *x = OF(int)(2.5f); }"
    cache.build(pasted, ["-w"])
    assert (cache.compiled, cache.whole) == (1, 1)


def test_a_mistake_is_told_with_its_line(queue: Any) -> None:
    with pytest.raises(RuntimeError) as told:
        queue.program("kernel void f(global float *x) {\n    *x = sin(*x) + nowhere;\n}\n")
    assert re.search(r":2:\d+: use of undeclared identifier 'nowhere'", str(told.value))


def test_kernels_use_no_name_that_is_pasted_together(fresh: Callable[..., str]) -> None:
    """Programs of several families: with none is the whole header read."""
    text = """
import dovetail as dt, dovetail.nn.functional as F
from dovetail_opencl.runtime import device_of
for kind in (dt.float32, dt.float64, dt.bfloat16, dt.int64, dt.complex64):
    x = dt.ones((1, 1, 4, 4), dtype=kind, device="opencl:0")
    (x + x @ x).sum(), x.exp()
    x.to(dt.complex64)
    if kind.category == 2:
        F.softmax(x.sin(), -1), F.layer_norm(x, (4,)), F.max_pool2d(F.conv2d(x, x), 1), x.sort()
cache = device_of(0).cache
print(cache.compiled > 20, cache.whole)
"""
    assert fresh(text).split()[-2:] == ["True", "0"]
