"""A pickle machine that can do little: no import, no call but of allowed things, a budget.

Source: Python's ``pickletools`` (what each opcode means) and PyTorch's
``torch/_weights_only_unpickler.py`` (what a checkpoint may do with them).
"""

from __future__ import annotations

import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from dovetail.errors import CheckpointError
from dovetail.nn.parameter import Parameter
from dovetail.serialization.allowed import Allowed
from dovetail.serialization.limits import Budget, check_key
from dovetail.serialization.source import Cursor
from dovetail.tensor import Tensor

__all__ = ["Unpickler"]

_PUSHED = 10  # bytes of a place on the stack, as lists grow
_PROTOCOLS = 5

_COSTS = [_PUSHED] * 256
for _opcode, _cost in {
    "(": 130, "]": 66, "}": 74, "\x8f": 226, "\x85": 58, "\x86": 66, "\x87": 74,
    "M": 42, "J": 42, "\x8a": 46, "\x8b": 46, "I": 46, "L": 46, "F": 34, "G": 34,
}.items():  # fmt: skip
    _COSTS[ord(_opcode)] = _cost


class Unpickler:
    """Reads one object from a pickle.

    Args:
        cursor: where the pickle begins.
        allowed: what its globals mean.
        persistent: what its persistent ids mean; called with the id, a tuple, a number or a string.
        budget: what the objects may cost.
        encoding: of the strings of Python 2; ``"bytes"`` leaves them as bytes.
    """

    def __init__(
        self,
        cursor: Cursor,
        allowed: Allowed,
        persistent: Callable[[Any], Any],
        budget: Budget,
        encoding: str = "utf-8",
    ) -> None:
        self._cursor = cursor
        self._allowed = allowed
        self._persistent = persistent
        self._budget = budget
        self._encoding = encoding
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: list[Any] = []  # numbers 0, 1, 2, …, as picklers give them
        self._strays: dict[int, Any] = {}  # other numbers
        self._is_outside = False  # in the program's own code, whose errors are not the file's

    def load(self) -> Any:
        """The object.

        Raises:
            CheckpointError: the pickle is damaged, asks for too much, or names what is refused.
        """
        byte, budget, actions, costs = self._cursor.byte, self._budget, _ACTIONS, _COSTS
        try:
            while True:
                opcode = byte()
                budget.left -= costs[opcode]
                if budget.left < 0:
                    budget.exceeded()
                if opcode == 0x2E:  # STOP
                    return self._stack.pop()
                action = actions[opcode]
                if action is None:
                    raise CheckpointError(
                        f"load: the pickle has the opcode {chr(opcode)!r}, which is not used in "
                        "checkpoints; the file is damaged"
                    )
                action(self)
        except CheckpointError:
            raise
        except _WRONG as error:
            if self._is_outside:
                raise
            raise CheckpointError(
                f"load: the pickle is damaged ({type(error).__name__}: {error!s:.200})"
            ) from error

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _marked(self) -> list[Any]:
        """What is on the stack above the last mark."""
        items = self._stack
        self._stack = self._marks.pop()
        return items

    # Marks and the stack.

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._marked()

    def _pop_mark(self) -> None:
        self._marked()

    def _duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def _protocol(self) -> None:
        number = self._cursor.byte()
        if number > _PROTOCOLS:
            raise CheckpointError(f"load: the pickle is of protocol {number}; the last is 5")

    def _frame(self) -> None:
        self._cursor.take(8)

    # Numbers.

    def _number(self, n: int, form: str) -> None:
        self._stack.append(struct.unpack(form, self._cursor.take(n))[0])

    def _long(self, n: int) -> None:
        self._budget.spend(n)
        self._stack.append(int.from_bytes(self._cursor.take(n), "little", signed=True))

    def _long_4(self) -> None:
        self._long(self._length(4))

    def _integer_text(self) -> None:
        text = self._cursor.line()
        self._budget.spend(len(text))
        flags = {b"00": False, b"01": True}
        self._stack.append(flags[text] if text in flags else int(text.rstrip(b"L") or b"0"))

    def _float_text(self) -> None:
        self._stack.append(float(self._cursor.line()))

    # Strings. Their length is checked against the file before anything is allocated.

    def _length(self, n: int) -> int:
        return int.from_bytes(self._cursor.take(n), "little")

    def _text(self, data: bytes) -> None:
        text = str(data, "utf-8", "surrogatepass")
        self._budget.spend(sys.getsizeof(text))
        self._stack.append(text)

    def _text_of(self, n: int) -> None:
        size = self._length(n)
        self._budget.spend(size)
        self._text(self._cursor.take(size))

    def _text_line(self) -> None:
        text = str(self._cursor.line(), "raw-unicode-escape")
        self._budget.spend(sys.getsizeof(text))
        self._stack.append(text)

    def _bytes_of(self, n: int, kind: type = bytes) -> None:
        size = self._length(n)
        self._budget.spend(size + 60)
        data = self._cursor.take(size)
        self._stack.append(data if kind is bytes else kind(data))

    def _old_string(self, data: bytes) -> None:
        self._budget.spend(len(data) + 60)
        if self._encoding == "bytes":
            self._stack.append(data)
        else:
            text = data.decode(self._encoding)
            self._budget.spend(sys.getsizeof(text))
            self._stack.append(text)

    def _old_string_of(self, n: int) -> None:
        self._old_string(self._cursor.take(self._length(n)))

    def _old_string_line(self) -> None:
        import codecs

        line = self._cursor.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise CheckpointError("load: the pickle has a string without quotes")
        self._old_string(codecs.escape_decode(line[1:-1])[0])

    # Containers.

    def _tuple(self) -> None:
        items = self._marked()
        self._budget.spend(56 + 8 * len(items))
        self._stack.append(tuple(items))

    def _tuple_of(self, n: int) -> None:
        if len(self._stack) < n:
            raise IndexError("the stack is empty")
        self._stack[-n:] = [tuple(self._stack[-n:])]

    def _list(self) -> None:
        items = self._marked()
        self._budget.spend(64 + 8 * len(items))
        self._stack.append(list(items))

    def _append(self) -> None:
        item = self._stack.pop()
        self._target(list).append(item)

    def _appends(self) -> None:
        items = self._marked()
        self._budget.spend(_PUSHED * len(items))
        self._target(list).extend(items)

    def _dict(self) -> None:
        items = self._marked()
        self._stack.append({})
        self._fill(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._fill([key, value])

    def _set_items(self) -> None:
        self._fill(self._marked())

    def _fill(self, items: list[Any]) -> None:
        target = self._target(dict, OrderedDict, Counter)
        if len(items) % 2:
            raise CheckpointError("load: the pickle has a key without a value")
        each = 130 if type(target) is dict else 260
        self._budget.spend(each * (len(items) // 2) + 180)
        for i in range(0, len(items), 2):
            check_key(items[i])
            target[items[i]] = items[i + 1]

    def _add_items(self) -> None:
        items = self._marked()
        self._budget.spend(120 * len(items))
        target = self._target(set)
        for item in items:
            check_key(item)
            target.add(item)

    def _frozen_set(self) -> None:
        items = self._marked()
        self._budget.spend(250 + 120 * len(items))
        for item in items:
            check_key(item)
        self._stack.append(frozenset(items))

    def _target(self, *kinds: type) -> Any:
        target = self._stack[-1]
        if type(target) not in kinds:
            raise CheckpointError(
                f"load: the pickle puts items into a {type(target).__name__}; that may be done to "
                f"{' or '.join(kind.__name__ for kind in kinds)} only"
            )
        return target

    # The memo.

    def _put(self, number: int) -> None:
        if number < 0:
            raise IndexError(f"a place {number} in the memo")
        value = self._stack[-1]
        if number == len(self._memo):
            self._memo.append(value)
        elif number < len(self._memo):
            self._memo[number] = value
        else:
            self._budget.spend(130)
            self._strays[number] = value

    def _get(self, number: int) -> None:
        if number < 0:
            raise IndexError(f"a place {number} in the memo")
        in_order = number < len(self._memo)
        self._stack.append(self._memo[number] if in_order else self._strays[number])

    def _memoize(self) -> None:
        self._put(len(self._memo) + len(self._strays))

    # Globals and what is done with them.

    def _global(self) -> None:
        module, name = self._cursor.line(), self._cursor.line()
        self._stack.append(self._allowed.meaning(module.decode(), name.decode()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise CheckpointError("load: the pickle names a global by no string")
        self._stack.append(self._allowed.meaning(module, name))

    def _reduce(self) -> None:
        arguments = self._stack.pop()
        self._stack[-1] = self._allowed.call(self._stack[-1], arguments)

    def _new_object(self) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        self._stack.append(self._allowed.new(kind, arguments))

    def _new_object_with_keywords(self) -> None:
        keywords, arguments, kind = self._stack.pop(), self._stack.pop(), self._stack.pop()
        if not isinstance(keywords, dict):
            raise CheckpointError("load: the pickle has keyword arguments that are no dict")
        self._stack.append(self._allowed.new(kind, arguments, keywords))

    def _build(self) -> None:
        state = self._stack.pop()
        made = self._stack[-1]
        kind = type(made)
        if kind in (Tensor, Parameter):
            self._allowed.rebuild.set_attributes(made, state)
        elif kind is OrderedDict:
            self._set_attributes(made, state)
        elif self._allowed.is_added(kind):
            if hasattr(made, "__setstate__"):
                made.__setstate__(state)
            else:
                self._set_attributes(made, state)
        else:
            raise CheckpointError(
                "load: Weights only load failed. Can only build Tensor, Parameter, OrderedDict or "
                f"types allowlisted via `add_safe_globals`, but got {kind}"
            )

    def _set_attributes(self, made: Any, state: Any) -> None:
        """What pickle does with the state of an object that does not say."""
        slots: dict[str, Any] | None = None
        if isinstance(state, tuple) and len(state) == 2:
            state, slots = state
        self._budget.spend(200 + 130 * (len(state or ()) + len(slots or ())))
        if state:
            if not all(isinstance(name, str) for name in state):
                raise CheckpointError("load: the pickle has attributes that are not named")
            made.__dict__.update(state)
        for name, value in (slots or {}).items():
            setattr(made, name, value)

    def _persistent_id(self) -> None:
        identity = self._stack.pop()
        if not isinstance(identity, (tuple, int, str)):
            raise CheckpointError(
                f"load: the pickle has a persistent id of {type(identity).__name__}; a storage has "
                "a tuple or a number"
            )
        self._stack.append(self._stored(identity))

    def _persistent_id_text(self) -> None:
        self._stack.append(self._stored(int(self._cursor.line())))

    def _stored(self, identity: Any) -> Any:
        self._is_outside = True
        found = self._persistent(identity)
        self._is_outside = False
        return found


_WRONG = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What can come of opcodes and arguments that make no sense."""

Action = Callable[[Unpickler], None]


def _with(method: Callable[..., None], *arguments: Any) -> Action:
    return lambda machine: method(machine, *arguments)


_U = Unpickler
_BY_NAME: dict[str, Action] = {
    "(": _U._mark, "0": _U._pop, "1": _U._pop_mark, "2": _U._duplicate,
    "\x80": _U._protocol, "\x95": _U._frame,
    "N": _with(_U._push, None), "\x88": _with(_U._push, True), "\x89": _with(_U._push, False),
    "K": lambda m: m._push(m._cursor.byte()),
    "M": _with(_U._number, 2, "<H"), "J": _with(_U._number, 4, "<i"),
    "G": _with(_U._number, 8, ">d"),
    "I": _U._integer_text, "L": _U._integer_text, "F": _U._float_text,
    "\x8a": lambda m: m._long(m._cursor.byte()), "\x8b": _U._long_4,
    "X": _with(_U._text_of, 4), "\x8c": _with(_U._text_of, 1), "\x8d": _with(_U._text_of, 8),
    "V": _U._text_line,
    "C": _with(_U._bytes_of, 1), "B": _with(_U._bytes_of, 4), "\x8e": _with(_U._bytes_of, 8),
    "\x96": _with(_U._bytes_of, 8, bytearray),
    "S": _U._old_string_line, "T": _with(_U._old_string_of, 4), "U": _with(_U._old_string_of, 1),
    ")": _with(_U._push, ()), "t": _U._tuple, "\x85": _with(_U._tuple_of, 1),
    "\x86": _with(_U._tuple_of, 2), "\x87": _with(_U._tuple_of, 3),
    "]": lambda m: m._push([]), "l": _U._list, "a": _U._append, "e": _U._appends,
    "}": lambda m: m._push({}), "d": _U._dict, "s": _U._set_item, "u": _U._set_items,
    "\x8f": lambda m: m._push(set()), "\x90": _U._add_items, "\x91": _U._frozen_set,
    "p": lambda m: m._put(int(m._cursor.line())), "q": lambda m: m._put(m._cursor.byte()),
    "r": lambda m: m._put(m._length(4)), "\x94": _U._memoize,
    "g": lambda m: m._get(int(m._cursor.line())), "h": lambda m: m._get(m._cursor.byte()),
    "j": lambda m: m._get(m._length(4)),
    "c": _U._global, "\x93": _U._stack_global, "R": _U._reduce, "\x81": _U._new_object,
    "\x92": _U._new_object_with_keywords, "b": _U._build,
    "Q": _U._persistent_id, "P": _U._persistent_id_text,
}  # fmt: skip
_ACTIONS: list[Action | None] = [_BY_NAME.get(chr(opcode)) for opcode in range(256)]
