"""Read YAML that a person wrote: plain, small, and each key once.

YAML lets a later key replace an earlier one without a word, and a few lines stand for millions.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from core.errors import ConfigurationError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Keys, values and lists together, each counted wherever an alias repeats it."""


class UnreadableYamlError(ConfigurationError):
    """A text is not the YAML that we take."""


def read_yaml(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a text, which know their lines, and its values.

    Raises
    ------
    UnreadableYamlError
        If it is no YAML, gives a key twice, or is larger or deeper than any that we can use; the
        message names the place in the file `name`.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnreadableYamlError(
            f"{name} is larger than {MAX_BYTES} bytes", remedy="See whether it is the right file"
        )
    try:
        _require_shallow(text, name)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _require_small(tree, name)
        faults = list(_duplicates(tree, name))
        if not faults:
            return tree, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _no_yaml(error, name) from None
    except (ValueError, LookupError, AttributeError, TypeError):  # PyYAML, for `!!timestamp x`
        raise UnreadableYamlError(
            f"{name} holds a value that is none of its kind, such as a date",
            remedy="Put it in quotes",
        ) from None
    raise UnreadableYamlError("; ".join(faults), remedy="Keep one of them")


def _no_yaml(error: yaml.YAMLError, name: str) -> UnreadableYamlError:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    return UnreadableYamlError(
        f"{where} is not YAML ({getattr(error, 'problem', None) or 'unreadable'})",
        remedy="Compare the line with the example in config.yaml of the distribution",
    )


def _require_shallow(text: str, name: str) -> None:
    """Refuse what the recursive reader could not read to its end."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
            raise UnreadableYamlError(
                f"{where} is nested more than {MAX_DEPTH} levels deep",
                remedy="No setting is; see whether a bracket is missing",
            )


def _require_small(tree: yaml.Node | None, name: str) -> None:
    """Refuse a text whose aliases stand for more than anybody would write, or for themselves."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: frozenset[int]) -> int:
        if id(node) in above:
            raise _too_large(node, name)
        if id(node) not in sizes:
            below = above | {id(node)}
            sizes[id(node)] = 1 + sum(size(inner, below) for inner in _inner(node))
        if sizes[id(node)] > MAX_NODES:
            raise _too_large(node, name)
        return sizes[id(node)]

    if tree is not None:
        size(tree, frozenset())


def _too_large(node: yaml.Node, name: str) -> UnreadableYamlError:
    return UnreadableYamlError(
        f"{name}:{node.start_mark.line + 1} stands for more than {MAX_NODES} values",
        remedy="Write what you mean without anchors and aliases",
    )


def _duplicates(tree: yaml.Node | None, name: str) -> Iterator[str]:
    """Say which keys are given twice, and on which lines."""
    seen: set[int] = set()
    waiting = [] if tree is None else [tree]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += reversed(list(_inner(node)))
        if isinstance(node, yaml.MappingNode):
            yield from _repeated(node, name)


def _repeated(node: yaml.MappingNode, name: str) -> Iterator[str]:
    known: dict[tuple[str, str], yaml.Node] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            first = known.setdefault((key.tag, key.value), key)
            if first is not key:
                yield (
                    f"{name}:{key.start_mark.line + 1}: key {key.value} is given twice, first on "
                    f"line {first.start_mark.line + 1}"
                )


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
