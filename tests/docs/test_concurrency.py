"""Every thread and lock of the sources is in docs/concurrency.md, and nothing else is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/fedstate"
PAGE = ROOT / "docs/concurrency.md"

KINDS = {
    *("Thread", "Timer", "ThreadPoolExecutor"),
    *("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Event"),
}
# | `supernode/steps.py` `Steps._lock` | RLock | ...
ROW = re.compile(r"^\| `([\w/]+\.py)` `([\w.]+)` \| (\w+) \|", re.MULTILINE)

Made = tuple[str, str, str]


class Finder(ast.NodeVisitor):
    """Finds where threads and locks are made: module, name and kind of each.

    The name is that of the attribute or variable that holds it, with its class or function before
    it; of one that nothing holds, it is that of the function that makes it.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._scope: list[str] = []
        self._target: str | None = None
        self.made: set[Made] = set()

    def _within(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._scope.append(node.name)
        self.generic_visit(node)
        self._scope.pop()

    visit_ClassDef = _within  # noqa: N815  as ast calls them
    visit_FunctionDef = _within  # noqa: N815
    visit_AsyncFunctionDef = _within  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assigned(node.targets[0], node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assigned(node.target, node.value)

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        scope = ".".join(self._scope)
        if isinstance(target, ast.Attribute) and self._scope:  # of self, which a method sets
            self._target = f"{self._scope[0]}.{target.attr}"
        elif isinstance(target, ast.Name):
            self._target = f"{scope}.{target.id}" if scope else target.id
        elif isinstance(target, ast.Attribute):  # of something that the module sets up
            self._target = ast.unparse(target)
        self.visit(value)
        self._target = None

    def visit_Call(self, node: ast.Call) -> None:
        made = [node.func, *(k.value for k in node.keywords if k.arg == "default_factory")]
        for each in made:
            kind = each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "")
            if kind in KINDS:
                name = self._target or ".".join(self._scope)
                self.made.add((self._module, name, kind))
        self.generic_visit(node)


def made_in(source: str, module: str) -> set[Made]:
    finder = Finder(module)
    finder.visit(ast.parse(source))
    return finder.made


def made_anywhere() -> Iterator[Made]:
    for file in SOURCES.rglob("*.py"):
        yield from made_in(file.read_text(), file.relative_to(SOURCES).as_posix())


def test_the_page_has_every_thread_and_lock_and_no_other() -> None:
    made, documented = set(made_anywhere()), ROW.findall(PAGE.read_text())
    assert len(made) > 20
    assert len(documented) == len(set(documented))
    missing = [f"| `{module}` `{name}` | {kind} |" for module, name, kind in made - {*documented}]
    assert not missing, f"{PAGE.name} lacks these rows:\n" + "\n".join(sorted(missing))
    assert not {*documented} - made, f"{PAGE.name} has rows for what is not there any more"


def test_threads_and_locks_are_found_however_they_are_made() -> None:
    source = """
from threading import Thread, Lock
POOL = ThreadPoolExecutor(2)
other.lock = Lock()
class Step:
    lock: threading.Lock = field(default_factory=threading.Lock)
    def __init__(self, lock: threading.RLock) -> None:
        self._lock = threading.RLock()
        self._cast = cast("Lock", Lock())
        self._given = lock
    def start(self) -> None:
        Thread(target=self.start).start()
        def inner():
            with ThreadPoolExecutor(1) as pool:
                timer = threading.Timer(1, print)
"""
    assert made_in(source, "m.py") == {
        ("m.py", "POOL", "ThreadPoolExecutor"),
        ("m.py", "other.lock", "Lock"),
        ("m.py", "Step.lock", "Lock"),
        ("m.py", "Step._lock", "RLock"),
        ("m.py", "Step._cast", "Lock"),
        ("m.py", "Step.start", "Thread"),
        ("m.py", "Step.start.inner", "ThreadPoolExecutor"),
        ("m.py", "Step.start.inner.timer", "Timer"),
    }
