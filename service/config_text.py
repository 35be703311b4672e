"""Change one list of a YAML text and leave every other character as it is, comments included.

The parser says where each node begins and ends; the text between is edited, and the result is read
again: unless it means exactly what was asked for, it is refused.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from core.errors import ConfigurationError

_STEP = 2
"""Columns by which a list is indented below its key."""

Path = Sequence[str]


class UneditableConfigError(ConfigurationError):
    """The file is laid out in a way that cannot be changed safely without a person."""


def appended(text: str, path: Path, item: Mapping[str, Any]) -> str:
    """Return `text` with `item` at the end of the list at `path`, which is made if need be.

    Raises
    ------
    UneditableConfigError
        If the text cannot be changed so that exactly this follows; it names what to add by hand.
    """
    wanted = _values(text)
    _list(wanted, path).append(dict(item))
    changed = _Text(text).append(path, item)
    return _proven(changed, wanted, f"add {_flow(item)} to {'.'.join(path)} by hand")


def removed(text: str, path: Path, index: int) -> str:
    """Return `text` without the entry at `index` of the list at `path`.

    Raises
    ------
    UneditableConfigError
        If the text cannot be changed so that exactly this follows.
    """
    wanted = _values(text)
    del _list(wanted, path)[index]
    changed = _Text(text).remove(path, index)
    return _proven(changed, wanted, f"remove entry {index + 1} of {'.'.join(path)} by hand")


def _values(text: str) -> dict[str, Any]:
    return _apart(yaml.safe_load(text)) or {}


def _apart(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Return a copy in which no two places are the same object, as an alias makes them."""
    if isinstance(value, dict):
        return {key: _apart(inner) for key, inner in value.items()}
    return [_apart(inner) for inner in value] if isinstance(value, list) else value


def _list(values: dict[str, Any], path: Path) -> list[Any]:
    """Return the list at `path`, with what is missing on the way to it."""
    inner = values
    for part in path[:-1]:
        inner[part] = inner.get(part) or {}
        inner = inner[part]
    inner[path[-1]] = inner.get(path[-1]) or []
    found: list[Any] = inner[path[-1]]
    return found


def _proven(changed: str | None, wanted: object, remedy: str) -> str:
    try:
        if changed is not None and _values(changed) == wanted:
            return changed
    except yaml.YAMLError:
        pass
    raise UneditableConfigError(
        "the layout of config.yaml does not allow this change without touching more than it",
        remedy=f"Please {remedy}",
    )


class _Text:
    """A YAML text and its nodes."""

    def __init__(self, text: str) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        if text and not text.endswith("\n"):
            text += self._newline
        self._text = text
        self._lines = text.splitlines(keepends=True)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        self._root = root if isinstance(root, yaml.MappingNode) else None

    def append(self, path: Path, item: Mapping[str, Any]) -> str | None:
        """Return the text with one more entry in the list at `path`; None if it cannot be done."""
        parent: yaml.MappingNode | None = self._root
        for depth, part in enumerate(path):
            pair = _pair(parent, part)
            if pair is None:
                return self._add_key(parent, path[depth:], item)
            key, value = pair
            if _is_empty(value):
                return self._fill(key, value, path[depth + 1 :], item)
            if isinstance(value, yaml.MappingNode):
                parent = value
            elif isinstance(value, yaml.SequenceNode) and depth == len(path) - 1:
                return self._add_entry(value, item)
            else:
                break
        return None

    def remove(self, path: Path, index: int) -> str | None:
        """Return the text without one entry of the list at `path`; None if it cannot be done."""
        node: yaml.Node | None = self._root
        key: yaml.Node | None = None
        for part in path:
            pair = _pair(node, part)
            if pair is None:
                return None
            key, node = pair
        if not isinstance(node, yaml.SequenceNode) or key is None:
            return None
        if node.flow_style:
            return self._remove_flow(node.value, index)
        start = self._dash_line(node, index)
        is_last = index == len(node.value) - 1
        end = self._line_after(node, node.start_mark.column + 1)
        if not is_last:
            end = min(end, self._line_after(node.value[index], node.start_mark.column + 1))
        kept = self._lines[:start] + self._lines[end:]
        if len(node.value) == 1:
            line = key.end_mark.line
            kept[line] = self._emptied(kept[line], key.end_mark.column)
        return "".join(kept)

    def _add_key(
        self, parent: yaml.MappingNode | None, path: Path, item: Mapping[str, Any]
    ) -> str | None:
        if parent is None:
            return self._insert(len(self._lines), self._block(path, item, 0))
        if parent.flow_style:
            value = _flow(item) if not path else _nested(path, item)[1:-1]
            return self._into_flow(parent, value)
        column = parent.start_mark.column
        line = len(self._lines) if column == 0 else self._line_after(parent, column)
        return self._insert(line, self._block(path, item, column))

    def _fill(
        self, key: yaml.Node, value: yaml.Node, path: Path, item: Mapping[str, Any]
    ) -> str | None:
        """Put the list where a key has nothing, `null`, `{}` or `[]`."""
        if key.start_mark.line != value.end_mark.line or not self._is_block_key(key):
            return None
        line, end = key.start_mark.line, value.end_mark.column
        before = self._lines[line][: value.start_mark.column].rstrip(" ")
        self._lines[line] = before + self._lines[line][end:]
        return self._insert(line + 1, self._block(path, item, key.start_mark.column + _STEP))

    def _add_entry(self, node: yaml.SequenceNode, item: Mapping[str, Any]) -> str | None:
        if node.flow_style:
            return self._into_flow(node, _flow(item))
        column = node.start_mark.column
        return self._insert(self._line_after(node, column + 1), self._block((), item, column))

    def _into_flow(self, node: yaml.CollectionNode, added: str) -> str:
        at = node.end_mark.index - 1  # of the closing bracket
        before = self._text[:at].rstrip()
        glue = "" if not node.value or before.endswith(",") else ", "
        return before + glue + added + self._text[at:]

    def _remove_flow(self, entries: list[yaml.Node], index: int) -> str:
        start, end = entries[index].start_mark.index, entries[index].end_mark.index
        if index:
            start = entries[index - 1].end_mark.index
        elif len(entries) > 1:
            end = entries[1].start_mark.index
        else:
            rest = self._text[end:].lstrip()
            end = len(self._text) - len(rest) + 1 if rest.startswith(",") else end
        return self._text[:start] + self._text[end:]

    def _block(self, path: Path, item: Mapping[str, Any], column: int) -> list[str]:
        lines = [f"{' ' * (column + _STEP * n)}{part}:" for n, part in enumerate(path)]
        indent = " " * (column + _STEP * len(path))
        fields = [f"{name}: {_scalar(value)}" for name, value in item.items()]
        lines += [f"{indent}{'  ' if n else '- '}{field}" for n, field in enumerate(fields)]
        return lines

    def _insert(self, line: int, added: list[str]) -> str:
        new = [f"{text}{self._newline}" for text in added]
        return "".join(self._lines[:line] + new + self._lines[line:])

    def _emptied(self, line: str, column: int) -> str:
        """Return the line of a key whose last entry went, with `[]` behind its colon."""
        colon = line.index(":", column)
        return f"{line[: colon + 1]} []{line[colon + 1 :]}"

    def _is_block_key(self, key: yaml.Node) -> bool:
        """Whether nothing but space stands before the key: then it is of no flow mapping."""
        return not self._lines[key.start_mark.line][: key.start_mark.column].strip(" ")

    def _dash_line(self, node: yaml.SequenceNode, index: int) -> int:
        column: int = node.start_mark.column
        line: int = node.value[index].start_mark.line
        while self._lines[line][column : column + 1] != "-" and line > node.start_mark.line:
            line -= 1
        return line

    def _line_after(self, node: yaml.Node, least_column: int) -> int:
        """Return the line behind a block and the comments that are indented as its content is."""
        line = _last_line(node) + 1
        ahead = line
        while ahead < len(self._lines):
            shown = self._lines[ahead].strip()
            column = len(self._lines[ahead]) - len(self._lines[ahead].lstrip(" "))
            if shown and not (shown.startswith("#") and column >= least_column):
                break
            ahead += 1
            if shown:
                line = ahead
        return line


def _pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.tag == "tag:yaml.org,2002:null"
    return not node.value


def _last_line(node: yaml.Node) -> int:
    """Return the last line that a node has text on; the parser's mark is where the next begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end = node.end_mark
    is_behind = bool(end.column == 0 and end.line > node.start_mark.line)
    line: int = end.line
    return line - is_behind


def _scalar(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def _flow(value: object) -> str:
    return json.dumps(value)


def _nested(path: Path, item: Mapping[str, Any]) -> str:
    inner: Any = [dict(item)]
    for part in reversed(path):
        inner = {part: inner}
    return _flow(inner)
