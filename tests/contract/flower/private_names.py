"""Which of flwr's non-public names our sources use, and which docs/upgrading-flwr.md names."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src" / "fedstate"
DOOR = SOURCES / "flower"
PAGE = ROOT / "docs" / "upgrading-flwr.md"
PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}
GENERATED = "_pb2"
# Its name alone has that of flwr in it.
OUR_LOGGER = "flwr.fedstate"

Name = tuple[str, str]


@dataclass
class Seam:
    """A row of the page's first table: what we use of flwr, and the tests that exercise it."""

    title: str
    names: set[Name] = field(default_factory=set)
    tests: list[str] = field(default_factory=list)


def imported(file: Path) -> set[Name]:
    """Return the non-public names of flwr that a source imports: each with its module."""
    found: set[Name] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "flwr":
            found |= {(f"flwr.{alias.name}", "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"flwr(\.\w+)+", str(node.value)):
            # The name of a module that is imported by it.
            found.add((str(node.value), ""))
    allowed = {"flwr", *PUBLIC, OUR_LOGGER}
    return {(m, name) for m, name in found if m.split(".")[0] == "flwr" and m not in allowed}


def sources(directory: Path = SOURCES) -> list[Path]:
    """Return our sources, without those that are generated."""
    return sorted(file for file in directory.rglob("*.py") if GENERATED not in file.name)


def rows(heading: str) -> Iterator[list[str]]:
    """Yield the cells of the table under a heading of the page."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def seams() -> list[Seam]:
    """Return the seams that the page describes."""
    found = []
    for title, names, _, _, tests in rows("The seams"):
        seam = Seam(title, tests=re.findall(r"`([\w./:]+)`", tests))
        for group in names.split("<br>"):
            module, *rest = re.findall(r"`([\w.]+)`", group)
            seam.names |= {(module, name) for name in rest or [""]}
        found.append(seam)
    return found


def inherited() -> dict[str, tuple[set[str], set[str]]]:
    """Return, for each class of ours below one of flwr's, what it overrides and what it uses."""
    found = {}
    for file in sources():
        if file.stem == "__main__" or not re.search(r"flwr\.|fedstate\.flower", file.read_text()):
            continue
        module = ".".join(("fedstate", *file.relative_to(SOURCES).with_suffix("").parts))
        loaded = importlib.import_module(module.removesuffix(".__init__"))
        for cls in vars(loaded).values():
            if inspect.isclass(cls) and cls.__module__ == module:
                overridden, used = _of(cls)
                if overridden or used:
                    found[cls.__name__] = (overridden, used)
    return found


def _of(cls: type[Any]) -> tuple[set[str], set[str]]:
    bases = [b for b in cls.__mro__ if b.__module__ not in PUBLIC and _is_flwrs(b)]
    if not bases:
        return set(), set()
    theirs = {name for base in bases for name in (*vars(base), *_assigned(base))}
    ours = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("fedstate.")
        for name in (*vars(base), *_assigned(base))
    }
    own = {name for name in vars(cls) if not name.startswith("__")} | _assigned(cls)
    own -= {"_abc_impl"}  # Python's own
    return own & theirs, (_attributes(cls, ast.Load) & theirs) - ours


def _is_flwrs(cls: type[Any]) -> bool:
    return cls.__module__.startswith("flwr.") and cls.__module__.split(".")[1] != "serverapp"


def _assigned(cls: type[Any]) -> set[str]:
    return _attributes(cls, ast.Store)


def _attributes(cls: type[Any], context: type[ast.expr_context]) -> set[str]:
    """Return the attributes of `self` that a class's own source stores or loads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, context)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
