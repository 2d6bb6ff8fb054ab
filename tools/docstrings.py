"""A docstring of the house as Markdown: its sentence, its sections, its examples."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass, field

__all__ = ["Docstring", "markdown", "read"]

_HEADING = re.compile(r"^(Args|Raises|Example|Examples|Returns|Yields|Attributes|Source):\s*(.*)$")


@dataclass
class Docstring:
    """The parts of a docstring.

    Attributes:
        text: the first sentence and what follows it, as Markdown.
        arguments: ``(name, what it is)``.
        raises: ``(class, when)``.
        example: lines of a doctest, without indentation.
    """

    text: str = ""
    arguments: list[tuple[str, str]] = field(default_factory=list)
    raises: list[tuple[str, str]] = field(default_factory=list)
    example: list[str] = field(default_factory=list)


def markdown(text: str) -> str:
    """Roles and double backquotes in Markdown's words; a star is a star."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    parts = text.split("`")  # every other one is code
    parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
    return "`".join(parts)


def read(doc: str | None) -> Docstring:
    """The parts of a docstring."""
    found = Docstring()
    section, blocks = "", {"": [""]}
    for line in inspect.cleandoc(doc or "").splitlines():
        heading = _HEADING.match(line)
        if heading:
            section = heading[1].rstrip("s") if heading[1].startswith("Example") else heading[1]
            blocks.setdefault(section, [])
            if heading[2]:
                blocks[section].append(heading[2])
        else:
            if section and line.strip() and not line.startswith(" "):
                section = ""  # text goes on below the section
            blocks.setdefault(section, []).append(line)
    plain, found.example = _without_doctest(blocks[""])
    found.text = re.sub(r"\n{3,}", "\n\n", markdown("\n".join(plain).strip()))
    for title in ("Returns", "Yields", "Source"):
        if title in blocks:
            said = " ".join(line.strip() for line in blocks[title]).strip()
            found.text += f"\n\n{title}: {markdown(said)}"
    found.arguments = _items(blocks.get("Args", []) + blocks.get("Attributes", []))
    found.raises = _items(blocks.get("Raises", []))
    if "Example" in blocks:
        found.example = textwrap.dedent("\n".join(blocks["Example"])).strip().splitlines()
    return found


def _without_doctest(lines: list[str]) -> tuple[list[str], list[str]]:
    """Text, and the doctest that stands in it."""
    text: list[str] = []
    example: list[str] = []
    inside = False
    for line in lines:
        if line.startswith(">>> "):
            inside = True
        elif not line.strip():
            inside = False
        (example if inside else text).append(line)
    return text, example


def _items(lines: list[str]) -> list[tuple[str, str]]:
    """``name: what``, continued on lines that are indented further."""
    found: list[tuple[str, str]] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        head = re.match(r"^([\w*., /]+): (.*)$", line)
        if head:
            found.append((head[1], head[2]))
        elif found and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return [(name, markdown(text)) for name, text in found]
