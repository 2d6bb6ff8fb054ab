"""Kernel source for elementwise operators: one template, filled in from the expression table.

What is fixed in the text: the expression, the dtypes, how many loops there are and which operands
lie densely or repeat in them. Sizes, other strides and offsets are arguments, so one compiled
kernel serves every shape of a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dovetail.backend.dialect import Dialect
from dovetail.backend.expression_helpers import HELPERS, MATH
from dovetail.backend.expressions import EXPRESSIONS, Expression, class_of
from dovetail.backend.source_lanes import WORD, computed, lanes_loop, takes_lanes
from dovetail.backend.strided import StridedView, collapse, needs_64_bit
from dovetail.dtypes import complex64, float32, float64
from dovetail.dtypes import dtype as DType

__all__ = [
    "DENSE",
    "Form",
    "elementwise_source",
    "form_of",
    "kernel_name",
    "pack_width",
    "program_source",
]


@dataclass(frozen=True)
class Form:
    """How the operands of a launch lie, as far as the kernel's text depends on it.

    Attributes:
        steps: per operand, the output first, one character per loop, the outermost first:
            ``0`` (repeats), ``1`` (neighbours) or ``s`` (a stride that is an argument).
        has_offsets: some operand does not begin where its buffer does.
        is_wide: indices have 64 bits.
    """

    steps: tuple[str, ...]
    has_offsets: bool = False
    is_wide: bool = False

    @property
    def name(self) -> str:
        """A word that tells forms apart, for the names of kernels."""
        flags = "o" * self.has_offsets + "w" * self.is_wide
        return "_".join((*self.steps, *filter(None, [flags])))


DENSE = {n: Form(("1",) * n) for n in range(1, 5)}
"""Per number of operands, the output counted: all dense, without offsets, 32-bit indices."""


def form_of(*views: StridedView) -> tuple[Form, tuple[int, ...]]:
    """The form of a launch and the integers that its kernel is called with, the output given first.

    Args:
        views: operands of one shape (see :func:`dovetail.backend.broadcast`).

    Returns:
        The form, and ``(n, *offsets, *sizes, *strides)``: elements; offsets where the form has
        them; the sizes of all loops but the outermost; per operand the strides marked ``s``.

    Example:
        >>> make = lambda strides: StridedView("b", 0, (3, 4), strides, float32)
        >>> form_of(make((16, 4)), make((16, 4)))
        (Form(steps=('1', '1'), has_offsets=False, is_wide=False), (12,))
        >>> form_of(make((16, 4)), make((0, 4)))
        (Form(steps=('s1', '01'), has_offsets=False, is_wide=False), (12, 4, 4))
    """
    loops = collapse(*views)
    rows = loops.strides if loops.shape else ((1,),) * len(views)
    steps = tuple("".join(str(s) if s in (0, 1) else "s" for s in row) for row in rows)
    offsets = tuple(v.element_offset for v in views)
    form = Form(steps, any(offsets), needs_64_bit(*views))
    strides = tuple(s for row in rows for s in row if s not in (0, 1))
    return form, (loops.numel, *(offsets if form.has_offsets else ()), *loops.shape[1:], *strides)


_LONG = {
    "sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh",
    "atan2", "lgamma", "digamma", "inverse_erf", "pow", "fmod", "hypot", "whole_floor_divide",
    "whole_remainder", "whole_pow", "whole_gcd", "whole_lcm", "float_remainder",
    "float_floor_divide", "complex_exp", "complex_expm1", "complex_log", "complex_log1p",
    "complex_sqrt", "complex_sin", "complex_cos", "complex_tanh", "complex_pow",
}  # fmt: skip
"""What takes longer than reading does: many at once would only make the text long."""

_MANY = 250
"""So does what has so many words."""


def pack_width(
    expression: Expression, inputs: tuple[DType, ...], out: DType, form: Form, dialect: Dialect
) -> int:
    """How many elements a work item of a kernel takes at once; 0: one after the other.

    Packs are for one loop, in which operands are dense or repeat, the output being dense.
    """
    width = dialect.pack // max(d.itemsize for d in (*inputs, out))
    if width < 2 or form.steps[0] != "1" or not {*form.steps} <= {"0", "1"}:
        return 0
    texts = [expression.text(inputs[-1] if inputs else out), *expression.helpers.values()]
    words = WORD.findall(" ".join(texts))
    return 0 if len(words) > _MANY or _LONG.intersection(words) else width


def kernel_name(name: str, inputs: tuple[DType, ...], out: DType, form: Form) -> str:
    """The name of the kernel that :func:`elementwise_source` makes."""
    return "_".join((name, *(d.name for d in (*inputs, out)), form.name))


def elementwise_source(
    name: str,
    inputs: tuple[DType, ...],
    out: DType,
    form: Form,
    dialect: Dialect,
    expression: Expression | None = None,
) -> str:
    """The source of one elementwise kernel, with the functions that it needs before it.

    The kernel is ``name(out, *inputs, *parameters, *integers)``: pointers to the buffers, the
    expression's parameters in the type computed in, and the integers of :func:`form_of` as
    unsigned numbers of 32 or 64 bits. It may write over an input that lies as the output does.
    Where the expression refuses operands and the dialect has a way to report them, ``faults``
    stands behind the inputs and ``refused`` at the end (see ``Reports``).

    Args:
        name: an entry of ``EXPRESSIONS``, or any word where ``expression`` is given.
        inputs: the operands' dtypes; the last one decides the class of the expression.
        out: the output's dtype; the result is converted to it.
        form: how the operands lie.
        dialect: the compiler's spellings.
        expression: what to compute, for one that is not in the table (a fused chain, say).

    Raises:
        Unsupported: the operator has no expression for these dtypes.
        ValueError: the number of operands is wrong, or there is no such expression.

    Example:
        >>> from dovetail.backend.dialect import C99
        >>> text = elementwise_source("add", (float32, float32), float32, DENSE[3], C99)
        >>> print(text[text.index("void"):])
        void add_float32_float32_float32_1_1_1(float *out, const float *in0, const float *in1,
                unsigned int n)
        {
            for (unsigned int i = 0; i < n; i += 1) {
                const float x0 = in0[i];
                const float x1 = in1[i];
                out[i] = x0 + x1;
            }
        }
    """
    return program_source([(name, inputs, out, form, expression)], dialect)


Request = tuple[str, tuple[DType, ...], DType, Form, Expression | None]


def program_source(kernels: list[Request], dialect: Dialect) -> str:
    """The source of many kernels at once, each helper function in it once.

    Args:
        kernels: the arguments of :func:`elementwise_source` before and after the dialect.
    """
    parts = [dialect.prelude] if dialect.prelude else []
    seen: set[str] = set()
    for name, inputs, out, form, given in kernels:
        expression = given or EXPRESSIONS.get(name)
        if expression is None:
            raise ValueError(f"elementwise_source: must be in EXPRESSIONS, got {name!r}")
        if len(inputs) != expression.inputs or len(form.steps) != len(inputs) + 1:
            raise ValueError(
                f"elementwise_source: {name} must have {expression.inputs} inputs and a form of "
                f"one more, got {len(inputs)} and {len(form.steps)}"
            )
        kernel = _Kernel(name, inputs, out, form, dialect, expression)
        for key, text in kernel.functions():
            if key not in seen:
                seen.add(key)
                parts.append(text.strip() + "\n")
        parts.append(kernel.text())
    return "\n".join(parts)


def _part(dtype: DType) -> DType:
    """The real dtype that is computed in; a complex number's part."""
    if dtype.is_complex:
        return float32 if dtype is complex64 else float64
    return computed(dtype)


class _Words:
    """Writes text of the table in a dialect, for one dtype that is computed in."""

    def __init__(
        self,
        dtype: DType,
        dialect: Dialect,
        by_lanes: bool = False,
        kept: str = "",
        helpers: Mapping[str, str] | None = None,
    ) -> None:
        kind = computed(dtype)
        self.kept = kept
        self.helpers = {**HELPERS, **helpers} if helpers else HELPERS
        self.dtype, self.dialect = kind, dialect
        self.number = self.real = dialect.types[_part(kind).name]
        if by_lanes:
            self.real = dialect.lanes[self.number].vector
        self.suffix = f"_{self.real}" if by_lanes else f"_{kind.name}"
        self.own = dialect.pairs[self.real] if kind.is_complex else self.real
        unsigned = dialect.types["uint64" if kind.itemsize == 8 else "uint32"]
        condition = dialect.types["int64" if kind.itemsize == 8 else "int32"]
        if by_lanes:
            condition = dialect.lanes[self.number].condition
        self.words = {
            "T": self.real, "U": unsigned, "BITS": str(8 * kind.itemsize), "C": self.own,
            "B": condition,
        }  # fmt: skip

    def spell(self, text: str, needed: dict[str, str]) -> str:
        """``text`` in the dialect; the functions it calls are added to ``needed``."""
        return WORD.sub(lambda match: self._word(match.group(), needed), text)

    def _word(self, word: str, needed: dict[str, str]) -> str:
        if word[0].isdigit():
            return f"{word}f" if self.number == self.dialect.types["float32"] else word
        if word in MATH or word in self.helpers:
            own = self.dialect.own(word, self.real, self.kept)
            if own:
                needed.update(own)
                return [*own][-1]
        if word in MATH:
            return self.dialect.call(word, self.real)
        if word in self.helpers:
            name = f"{word}{self.suffix}"
            if name not in needed:
                needed[name] = ""  # taken, in case it is asked for again inside
                body = self.spell(self.helpers[word].strip(), needed)
                del needed[name]  # what it calls stands before it
                needed[name] = f"{self.dialect.function} {body}"
            return name
        return self.words.get(word, word)


class _Kernel:
    """One kernel in the making."""

    def __init__(
        self,
        name: str,
        inputs: tuple[DType, ...],
        out: DType,
        form: Form,
        dialect: Dialect,
        expression: Expression,
    ) -> None:
        self.name = kernel_name(name, inputs, out, form)
        self.inputs, self.out, self.form, self.dialect = inputs, out, form, dialect
        self.expression = expression
        self.index = dialect.types["uint64" if form.is_wide else "uint32"]
        self.needed: dict[str, str] = {}
        kind = inputs[-1] if inputs else out
        self.by_lanes = takes_lanes(expression, inputs, out, dialect)
        kept = "" if expression.helpers else out.name  # what is rounded is the last step alone
        self.words = _Words(kind, dialect, self.by_lanes, kept, expression.helpers)
        text = expression.text(kind)
        if expression is EXPRESSIONS.get(name) and {*inputs} == {out}:
            text = dialect.texts.get((name, out.name), text)
        self.value = self._converted(self.words.spell(text, self.needed), kind)
        if class_of(out) == "bool" and not self.by_lanes:
            self.value = dialect.truth[1].format(value=self.value)
        self.packed = pack_width(expression, inputs, out, form, dialect)
        refused = expression.refused(kind) if dialect.reports else ()
        self.refused = [self.words.spell(refusal.condition, self.needed) for refusal in refused]
        self.parameter = _Words(kind, dialect).own

    def functions(self) -> list[tuple[str, str]]:
        """(name, text) of what must stand before the kernel, in order."""
        kinds = (*self.inputs, self.out)
        own = {d.name: self.dialect.helpers_of(d) for d in kinds}
        if self.by_lanes:
            width = self.dialect.lanes[self.words.number].width
            for d in kinds:
                text = self.dialect.lanes_helpers.get(d.name, "")
                own[f"{d.name} {width} lanes"] = text.replace("WIDTH", str(width))
        if self.packed:
            own |= dict(self.dialect.pack_of(d, self.packed) for d in kinds)
        if self.refused and self.dialect.reports:
            own["reports"] = self.dialect.reports.functions
        return [(k, text) for k, text in (*own.items(), *self.needed.items()) if text]

    def _converted(self, value: str, kind: DType) -> str:
        """``value``, the expression's result for operands of ``kind``, in the output's dtype."""
        result, out = self.expression.result, self.out
        came = class_of(kind)
        if result == "real" and came == "complex":
            kind, came = _part(kind), "float"
        wanted, target = class_of(out), _Words(out, self.dialect)
        if result == "bool":
            value, came = f"({value})", "bool"
        elif came == wanted and computed(kind) is computed(out):
            return value
        if wanted == "bool":
            pair = f"(({value}).x != 0 || ({value}).y != 0)"
            return pair if came == "complex" else value if came == "bool" else f"({value}) != 0"
        real = f"({value}).x" if came == "complex" else f"({value})"
        if wanted == "complex":
            imaginary = f"({value}).y" if came == "complex" else "0"
            make = target.spell("pair", self.needed)
            return f"{make}(({target.real}){real}, ({target.real}){imaginary})"
        if came in ("float", "complex") and wanted in ("signed", "unsigned"):
            # Through 64 bits: what a narrow type cannot hold wraps around, as PyTorch's does.
            return f"({target.real})({self.dialect.types['int64']}){real}"
        return f"({target.real}){real}"

    def text(self) -> str:
        """The kernel's source."""
        dialect, index = self.dialect, self.index
        lines = [f"{dialect.kernel} {self.name}({self._parameters()})", "{"]
        if self.by_lanes:
            kind = dialect.lanes[self.words.number].condition
            body = [*self._watch(kind), *lanes_loop(self, self.value), *self._report()]
            return "\n".join([*lines, *body, "}", ""])
        # As wide as the operands, so that a compiler's vectors of the two are alike.
        is_whole = self.words.dtype.category == 1
        lines += self._watch(self.words.own if is_whole else dialect.types["int32"])
        last = len(self.form.steps[0]) - 1
        by_rows = dialect.has_rows and last > 0
        if by_rows:
            lines.append(f"    const {index} rows = size{last} ? n / size{last} : 0;")
        n = "rows" if by_rows else "n"
        words = (dialect.first, dialect.bound, dialect.step)
        first, bound, step = (text.format(index=index, n=n) for text in words)
        if self.packed:
            lines += self._packs()
            first = f"done + {first}"
        if bound != n:  # once: a compiler does not see that what is written is none of its parts
            lines.append(f"    const {index} end = {bound};")
            bound = "end"
        if class_of(self.out) == "bool" and dialect.truth[0]:
            lines.append(f"    {dialect.truth[0]}")
        loop = self._before_loop()
        lines += [f"    {loop}"] * bool(loop and not by_rows)
        lines.append(f"    for ({index} i = {first}; i < {bound}; i += {step}) {{")
        lines += [f"        {line}" for line in self.loops(last - 1 if by_rows else last)]
        pad = " " * 8
        if by_rows:
            counter = f"i{last}"
            lines += [f"{pad}{loop}"] * bool(loop)
            lines.append(
                f"{pad}for ({index} {counter} = 0; {counter} < size{last}; {counter}++) {{"
            )
            pad += " " * 4
        for k, dtype in enumerate(self.inputs):
            load = dialect.load_of(dtype, f"in{k}", self.place(k + 1))
            lines.append(f"{pad}const {_Words(dtype, dialect).own} x{k} = {load};")
        lines += [f"{pad}{line}" for line in self.seen()]
        store = dialect.store_of(self.out, "out", self.place(0), self.value)
        lines.append(f"{pad}{store};")
        return "\n".join([*lines, *["        }"] * by_rows, "    }", *self._report(), "}", ""])

    def _watch(self, kind: str) -> list[str]:
        """What is kept of operands that are refused, until the loop is done."""
        return [f"    {kind} wrong{k} = 0;" for k in range(len(self.refused))]

    def seen(self) -> list[str]:
        """Statements that look at the operands of one element, or of a vector of them."""
        return [f"wrong{k} |= {condition};" for k, condition in enumerate(self.refused)]

    def _report(self) -> list[str]:
        """What tells the host, behind the loop."""
        reports, lines = self.dialect.reports, []
        if reports is not None:
            for k in range(len(self.refused)):
                wrong = reports.any.format(wrong=f"wrong{k}") if self.by_lanes else f"wrong{k}"
                lines.append(f"    {reports.statement.format(wrong=wrong, which=k)}")
        return lines

    def _before_loop(self) -> str:
        kinds = (self.out, *self.inputs)
        widest = max(max(kind.itemsize, computed(kind).itemsize) for kind in kinds)
        return self.dialect.loop.format(width=max(1, self.dialect.vector // widest))

    def _packs(self) -> list[str]:
        """The loop over whole packs, where every operand begins at one; ``done``: its elements."""
        dialect, index, width = self.dialect, self.index, self.packed
        kinds = (self.out, *self.inputs)
        walked = [k for k, steps in enumerate(self.form.steps) if steps == "1"]
        names = ["out", *(f"in{k}" for k in range(len(self.inputs)))]
        if self.form.has_offsets:
            names = [f"({name} + offset{k})" for k, name in enumerate(names)]
        rests = [f"(size_t){names[k]} % {width * kinds[k].itemsize}" for k in walked]
        first, step = (text.format(index=index, n="n") for text in (dialect.first, dialect.step))
        lines = [
            f"const {index} done = ({' | '.join(rests)}) == 0 ? n / {width} * {width} : 0;",
            f"for ({index} i = {first}; i < done / {width}; i += {step}) {{",
        ]
        types = [dialect.pack_of(kind, width)[0] for kind in kinds]
        for k in range(1, len(kinds)):
            if k in walked:
                pointer = f"{dialect.pointer}const {types[k]} *"
                lines.append(f"    const {types[k]} p{k} = (({pointer}){names[k]})[i];")
        lines += [
            f"    {types[0]} made;",
            "    #pragma unroll",
            f"    for (int j = 0; j < {width}; j++) {{",
        ]
        for k, dtype in enumerate(self.inputs, 1):
            if k in walked:
                load = dialect.load_of(dtype, dialect.in_pack(dtype, f"p{k}"), "j")
            else:
                load = dialect.load_of(dtype, f"in{k - 1}", self.place(k))
            lines.append(f"        const {_Words(dtype, dialect).own} x{k - 1} = {load};")
        store = dialect.store_of(self.out, dialect.in_pack(self.out, "made"), "j", self.value)
        lines += [f"        {line}" for line in (*self.seen(), f"{store};")]
        lines.append("    }")
        lines += [f"    (({dialect.pointer}{types[0]} *){names[0]})[i] = made;", "}"]
        return [f"    {line}" for line in lines]

    def _parameters(self) -> str:
        types, before = self.dialect.types, self.dialect.pointer
        pointers = [f"{before}{types[self.out.name]} *out"]
        pointers += [f"{before}const {types[d.name]} *in{k}" for k, d in enumerate(self.inputs)]
        if self.refused:
            pointers.append(f"{before}{types['uint32']} *faults")
        numbers = [f"{self.parameter} {name}" for name in self.expression.parameters]
        integers = ["n"]
        if self.form.has_offsets:
            integers += [f"offset{k}" for k in range(len(self.form.steps))]
        integers += [f"size{d}" for d in range(1, len(self.form.steps[0]))]
        for k, steps in enumerate(self.form.steps):
            integers += [f"stride{k}_{d}" for d, step in enumerate(steps) if step == "s"]
        parameters = [*pointers, *numbers, *(f"{self.index} {word}" for word in integers)]
        parameters += [f"{types['uint32']} refused"] * bool(self.refused)
        lines, line = [], ""
        for parameter in parameters:
            if line and len(line) + len(parameter) > 68:
                lines.append(line)
                line = ""
            line += f"{', ' if line else ''}{parameter}"
        return ",\n        ".join([*lines, line])

    def loops(self, last: int) -> list[str]:
        """Statements that split ``i`` into the indices of the loops up to ``last``."""
        if len(self.form.steps[0]) <= 1:
            return []
        lines = [f"{self.index} rest = i;"]
        for d in range(last, 0, -1):
            lines.append(f"const {self.index} i{d} = rest % size{d};")
            lines.append(f"rest /= size{d};")
        return [*lines, f"const {self.index} i0 = rest;"]

    def place(self, operand: int) -> str:
        """The index of the operand's element."""
        steps = self.form.steps[operand]
        terms = [f"offset{operand}"] if self.form.has_offsets else []
        for d, step in enumerate(steps):
            index = "i" if len(steps) == 1 else f"i{d}"
            if step != "0":
                terms.append(index if step == "1" else f"{index} * stride{operand}_{d}")
        return " + ".join(terms) or "0"
