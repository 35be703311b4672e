"""The whole of config.yaml: read once, typed, frozen; refused as a whole if any of it is wrong."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, ValidationError

from anonymizer.settings import AnonymizerSettings
from api.settings import ApiSettings
from archive.settings import ArchiveSettings
from audit.settings import AuditSettings
from core.errors import ConfigurationError
from dicom_node.settings import NodeSettings, TlsCallSettings
from inference.settings import InferenceSettings
from results.settings import ResultsSettings
from service.completeness_settings import CompletenessSettings
from service.yaml_text import MAX_BYTES, read_yaml

CONFIG_FILE = "config.yaml"


class KeysSettings(BaseModel, frozen=True, extra="forbid"):
    """The `keys:` section of config.yaml."""

    folder: Path = Path("keys")
    """Where the key files are, relative to config.yaml. Back it up apart from the data: who holds
    both can read everything, and who loses it can read nothing."""


class PipelineSettings(BaseModel, frozen=True, extra="forbid"):
    """The `pipeline:` section of config.yaml."""

    database_url: str | None = None
    """Where workflows are kept; by default workflows.db in the archive's folder."""
    studies_at_once: PositiveInt = 2
    """How many studies one worker processes at the same time."""
    deliveries_at_once: PositiveInt = 8
    """How many associations one worker keeps open to destinations."""
    deliveries_at_once_per_destination: PositiveInt = 2
    """So that a destination that hangs never takes the turn of another."""
    step_limit_s: PositiveFloat = 600.0
    """A step that takes longer has failed; it is tried again like any other failure."""
    attempts: int = Field(default=8, ge=1, le=20)
    """How often a step is tried while what it needs is unavailable; the wait doubles from 1 s."""


class DestinationSettings(BaseModel, frozen=True, extra="forbid"):
    """One place that results are delivered to by C-STORE."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """How logs, the journey and `study show` call it."""
    host: str
    """Name or address of the machine that takes the results."""
    port: int = Field(ge=1, le=65535)
    """TCP port that it listens on."""
    called_ae_title: str = Field(min_length=1, max_length=16)
    """The AE title that the destination answers to."""
    calling_ae_title: str | None = Field(default=None, min_length=1, max_length=16)
    """How we introduce ourselves; by default `dicom_node.ae_title`."""
    kinds: tuple[Literal["SR", "SC"], ...] = ("SR", "SC")
    """Which kinds of result objects it gets."""
    from_peers: tuple[str, ...] = ()
    """Only results of studies that these peers sent; empty means of all."""
    tls: TlsCallSettings | None = None
    """Send over TLS and never otherwise; absent means without TLS."""


class DeliverySettings(BaseModel, frozen=True, extra="forbid"):
    """The `delivery:` section of config.yaml."""

    destinations: tuple[DestinationSettings, ...] = ()
    """Where results go; without any they stay in the archive and are served by REST."""
    first_delay_s: PositiveFloat = 5.0
    """Wait after the first failed attempt; every further wait is `growth` times as long."""
    growth: float = Field(default=2.0, ge=1.0, le=10.0)
    """How the wait grows from attempt to attempt."""
    longest_delay_s: PositiveFloat = 900.0
    """No wait is longer, so that a destination that comes back is noticed."""
    attempts: PositiveInt = 200
    """After so many the delivery is a dead letter, which `study retry` takes up again; two days
    with the defaults."""
    timeout_s: PositiveFloat = 30.0
    """How long a destination may stay silent."""

    def resolved(self, folder: Path) -> Self:
        """Return the same with the files of each `tls` found from `folder`."""
        destinations = tuple(
            one.model_copy(update={"tls": one.tls.resolved(folder)}) if one.tls else one
            for one in self.destinations
        )
        return self.model_copy(update={"destinations": destinations})


class Settings(BaseModel, frozen=True, extra="forbid"):
    """config.yaml."""

    archive: ArchiveSettings = ArchiveSettings()
    keys: KeysSettings = KeysSettings()
    audit: AuditSettings = AuditSettings()
    dicom_node: NodeSettings = NodeSettings()
    completeness: CompletenessSettings = CompletenessSettings()
    anonymizer: AnonymizerSettings = AnonymizerSettings()
    inference: InferenceSettings = InferenceSettings()
    results: ResultsSettings = ResultsSettings()
    delivery: DeliverySettings = DeliverySettings()
    pipeline: PipelineSettings = PipelineSettings()
    api: ApiSettings = ApiSettings()


@dataclass(frozen=True)
class Installation:
    """The settings and the folder they are relative to."""

    settings: Settings
    folder: Path
    config_file: Path

    def path(self, relative: Path) -> Path:
        """Return where a path of config.yaml points to."""
        return (self.folder / relative).absolute()


def load_settings(config_file: Path) -> Installation:
    """Read config.yaml.

    Raises
    ------
    ConfigurationError
        If the file is missing, is no YAML, or holds a key or value that is not known; one message
        names every fault with its line.
    """
    try:
        with config_file.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{config_file} cannot be read ({error.strerror})",
            remedy="Run `second-reader init`, or name the file with --config",
        ) from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{config_file} is not UTF-8", remedy="Save it as UTF-8 text"
        ) from None
    return Installation(
        parse_settings(text, config_file), config_file.absolute().parent, config_file
    )


def parse_settings(text: str, config_file: Path) -> Settings:
    """Read the text of a config.yaml; `config_file` is only named in faults."""
    tree, read = read_yaml(text, str(config_file))
    values = read or {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{config_file} holds no sections")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_faults(error, tree, config_file))
        raise ConfigurationError(
            faults, remedy="`second-reader config schema` lists every key with its meaning"
        ) from None


def _faults(error: ValidationError, tree: yaml.Node | None, config_file: Path) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = [part for part in fault["loc"] if not _is_union_branch(part)]
        line = _line(tree, path)
        key = ".".join(str(part) for part in path)
        where = f"{config_file.name}:{line}" if line else config_file.name
        if fault["type"] == "extra_forbidden":
            yield f"{where}: unknown key {key}{_suggestion(path)}"
        else:
            yield f"{where}: {key}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _is_union_branch(part: int | str) -> bool:
    return isinstance(part, str) and re.search(r"[\[\]()]", part) is not None


def _suggestion(path: list[Any]) -> str:
    section: Any = Settings
    for part in path[:-1]:
        section = _section(section, part)
        if section is None:
            return ""
    near = difflib.get_close_matches(str(path[-1]), list(section.model_fields), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _section(model: type[BaseModel], part: int | str) -> type[BaseModel] | None:
    if isinstance(part, int):
        return model
    field = model.model_fields.get(part)
    if field is None:
        return None
    kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _line(tree: yaml.Node | None, path: list[Any]) -> int | None:
    node, line = tree, None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
