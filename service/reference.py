"""Every key of config.yaml with its default and its reason, read from the settings themselves."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.settings import Settings

_WIDTH = 100


@dataclass(frozen=True)
class Entry:
    """One key of config.yaml."""

    path: str
    """Dotted, from the section on; a list's entries are marked `[]`."""
    default: Any
    """None where the operator must say it, or where nothing is the default."""
    reason: str
    kind: str


def entries(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Entry]:
    """Yield every key below `model`, in the order of the file."""
    reasons = _docstrings(model)
    for name, field in model.model_fields.items():
        inner = _inner_model(field)
        path = f"{prefix}{name}"
        if inner is None or _is_list(field) or _is_optional(field):
            yield Entry(path, _default(field), reasons.get(name, ""), _kind(field))
        if inner is not None:
            yield from entries(inner, f"{path}[]." if _is_list(field) else f"{path}.")


def example_config() -> str:
    """Return config.yaml with every default, each explained above its key."""
    lines = [
        "# Second Reader. Every key with its default; what is left out has the value shown here.",
        "# Paths are relative to this file. Secrets are never in it: it names files.",
    ]
    for section, field in Settings.model_fields.items():
        model = _inner_model(field)
        assert model is not None
        lines += ["", f"{section}:"]
        lines += _section_lines(model, indent="  ")
    return "\n".join(lines) + "\n"


def _section_lines(model: type[BaseModel], indent: str) -> list[str]:
    reasons = _docstrings(model)
    lines: list[str] = []
    for name, field in model.model_fields.items():
        lines += textwrap.wrap(
            reasons.get(name, ""),
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
        )
        inner = _inner_model(field)
        if inner is not None and not _is_list(field) and not _is_optional(field):
            lines.append(f"{indent}{name}:")
            lines += _section_lines(inner, indent + "  ")
            continue
        value = "# required" if field.is_required() else _yaml(_default(field))
        lines.append(f"{indent}{name}: {value}")
        if inner is not None:
            head = "Each entry has:" if _is_list(field) else "A section has:"
            lines += _commented(head, inner, indent)
    return lines


def _commented(head: str, model: type[BaseModel], indent: str) -> list[str]:
    """Show what may be there and by default is not, as comments."""
    shown = _section_lines(model, "")
    return [f"{indent}# {head}", *(f"{indent}#   {line}" for line in shown)]


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 - a default is of any kind
    if field.is_required():
        return None
    return _plain(field.get_default(call_default_factory=True))


def _plain(value: Any) -> Any:  # noqa: ANN401
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (BaseModel, lambda value: value.model_dump(mode="json", exclude_defaults=True)),
    (Enum, lambda value: value.value),
    (Path, str),
    ((set, frozenset), lambda value: sorted(_plain(item) for item in value)),
    ((tuple, list), lambda value: [_plain(item) for item in value]),
    (dict, lambda value: {str(key): _plain(item) for key, item in value.items()}),
)


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")


def _is_list(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) in {list, tuple, dict}


def _is_optional(field: FieldInfo) -> bool:
    """Whether a section is absent by default."""
    return not field.is_required() and field.get_default() is None


def _inner_model(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the string below each field, which is where our settings say their reasons."""
    found: dict[str, str] = {}
    for base in reversed([c for c in model.__mro__ if issubclass(c, BaseModel)][:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                found[field.target.id] = inspect.cleandoc(str(following.value.value))
    return found
