"""Dataclasses to bytes and back, so that they can be sealed.

A union of dataclasses is told apart by the class name; everything else by the annotation. Unknown
or missing fields are refused: what we read back must be what we wrote.
"""

import json
import types
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from core.errors import CorruptionError

T = TypeVar("T")

_TYPE = "@type"  # no field can be called so
_SCALARS = frozenset({str, int, float, bool, type(None)})


def dump_record(record: object) -> bytes:
    """Write a dataclass (or a tuple of them) as JSON bytes."""
    return json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":")).encode()


def load_record(kind: type[T], encoded: bytes) -> T:
    """Read what `dump_record` wrote, as a `kind`.

    Raises
    ------
    CorruptionError
        If the bytes do not hold such a record.
    """
    try:
        return cast("T", _typed(kind, json.loads(encoded)))
    except (ValueError, TypeError, KeyError, AttributeError):
        # The chain is cut: a parser's text may hold a value of the record.
        raise CorruptionError(f"a stored record is no {getattr(kind, '__name__', kind)}") from None


def _plain(value: object) -> object:
    if type(value) in _SCALARS:  # most values; a subclass, such as a StrEnum, is none of them
        return value
    if is_dataclass(value) and not isinstance(value, type):
        body = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {_TYPE: type(value).__name__, **body}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(kind: Any, value: Any) -> object:  # noqa: ANN401 - annotations are of any kind
    if isinstance(kind, NewType):
        kind = kind.__supertype__
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        return _chosen(get_args(kind), value)
    if origin is tuple:
        return _tuple(get_args(kind), value)
    if origin in {dict, Mapping}:
        return {key: _typed(get_args(kind)[1], item) for key, item in value.items()}
    if is_dataclass(kind):
        return _dataclass(cast("type[object]", kind), value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return datetime.fromisoformat(value) if kind is datetime else _scalar(kind, value)


def _scalar(kind: Any, value: Any) -> object:  # noqa: ANN401
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError
    return cast("object", value)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[object, ...]:  # noqa: ANN401
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_typed(kinds[0], item) for item in value)
    return tuple(_typed(kind, item) for kind, item in zip(kinds, value, strict=True))


def _chosen(kinds: tuple[Any, ...], value: Any) -> object:  # noqa: ANN401
    if value is None:
        if type(None) in kinds:
            return None
        raise TypeError
    candidates = [kind for kind in kinds if kind is not type(None)]
    if isinstance(value, dict) and _TYPE in value:
        named = [kind for kind in candidates if getattr(kind, "__name__", "") == value[_TYPE]]
        return _typed(named[0] if named else candidates[0], value)
    return _typed(candidates[0], value)


def _dataclass(kind: type[object], value: dict[str, Any]) -> object:
    hints = _hints(cast("Hashable", kind))
    if value.pop(_TYPE) != kind.__name__ or set(value) != set(hints):
        raise TypeError
    return kind(**{name: _typed(hint, value[name]) for name, hint in hints.items()})


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    names = {field.name for field in fields(cast("Any", kind))}
    return {name: hint for name, hint in get_type_hints(cast("Any", kind)).items() if name in names}
