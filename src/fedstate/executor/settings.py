"""Which environment variables an app sets, as far as its sources tell."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A file without any of these words sets nothing.
_WORDS = (b"environ", b"putenv", b"unsetenv", b"dotenv")
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Setting:
    """A place where an app sets or unsets a variable.

    Attributes
    ----------
    name
        The variable; None where only running the code would tell.
    value
        What it is set to; None where it is unset.
    known
        Whether the sources tell the value.
    place
        The file, relative to the app, and the line.
    """

    name: str | None
    value: str | None
    known: bool
    place: str

    def __str__(self) -> str:
        """Return it as a part of a sentence."""
        return f"{self.name or 'variables'} ({self.place})"


def settings_in(directory: Path) -> Iterator[Setting]:
    """Yield what the Python files below an app's directory set, also in functions.

    A file that cannot be read or parsed sets nothing: importing it says what is wrong.
    """
    for file in sorted(directory.rglob("*.py")):
        try:
            if file.stat().st_size > _MAX_BYTES:
                continue
            source = file.read_bytes()
            if not any(word in source for word in _WORDS):
                continue
            tree = ast.parse(source)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        name = str(file.relative_to(directory))
        for node in ast.walk(tree):
            for variable, value, known in _settings(node):
                place = f"{name}, line {getattr(node, 'lineno', 0)}"
                yield Setting(variable, value, known, place)


# A variable, its value, and whether that is known.
_Found = tuple[str | None, str | None, bool]
_ANYTHING: _Found = (None, None, False)


def _settings(node: ast.AST) -> Iterator[_Found]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _target(target, value)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _target(target, value)
        case ast.AugAssign(target=target, value=value):
            if _is_environ(target):
                yield from _mapping(value)
            else:
                yield from _target(target, None)
        case ast.Delete(targets=targets):
            for target in targets:
                if isinstance(target, ast.Subscript) and _is_environ(target.value):
                    yield _text(target.slice), None, True
        case ast.For(target=target) | ast.withitem(optional_vars=ast.expr() as target):
            yield from _target(target, None)
        case ast.Call():
            yield from _call(node)


def _target(target: ast.expr, value: ast.expr | None) -> Iterator[_Found]:
    match target:
        case ast.Subscript(value=mapping, slice=key) if _is_environ(mapping):
            yield _set(key, value)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _target(element, None)


def _call(call: ast.Call) -> Iterator[_Found]:
    first, second = ([*call.args, None, None])[:2]
    match call.func:
        case ast.Attribute(value=mapping, attr=method) if _is_environ(mapping):
            match method:
                case "setdefault" | "__setitem__":
                    yield _set(first, second)
                case "pop" | "__delitem__":
                    yield _text(first), None, True
                case "clear" | "popitem":
                    yield _ANYTHING
                case "update" | "__ior__":
                    for argument in call.args:
                        yield from _mapping(argument)
                    for keyword in call.keywords:
                        text = _text(keyword.value)
                        yield keyword.arg, text, text is not None
        case ast.Attribute(attr="putenv") | ast.Name(id="putenv"):
            yield _set(first, second)
        case ast.Attribute(attr="unsetenv") | ast.Name(id="unsetenv"):
            yield _text(first), None, True
        case ast.Attribute(attr="load_dotenv") | ast.Name(id="load_dotenv"):
            yield _ANYTHING


def _mapping(value: ast.expr) -> Iterator[_Found]:
    if isinstance(value, ast.Dict):
        for key, each in zip(value.keys, value.values, strict=True):
            yield _set(key, each)
    else:
        yield _ANYTHING


def _set(key: ast.expr | None, value: ast.expr | None) -> _Found:
    text = _text(value)
    return _text(key), text, text is not None


def _is_environ(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr="environ" | "environb") | ast.Name(id="environ" | "environb"):
            return True
    return False


def _text(node: ast.expr | None) -> str | None:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=bytes() as data):
            return data.decode(errors="surrogateescape")
    return None
