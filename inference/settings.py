"""The `inference:` section of config.yaml."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from imaging.facts import DecoderLimits


class ModelRule(BaseModel, frozen=True, extra="forbid"):
    """One model and which studies it reads; an empty list means any that its card accepts."""

    name: str
    """Of a model package, as `model list` shows it."""
    version: str | None = None
    """Of the package; by default the newest that is here. Name one to pin what reads."""
    enabled: bool = True
    """Whether it reads at all; a rule can be kept without being in force."""
    modalities: tuple[str, ...] = ()
    """Values of Modality (0008,0060) of the instances it reads."""
    sop_classes: tuple[str, ...] = ()
    """SOP Class UIDs of the instances it reads."""
    peers: tuple[str, ...] = ()
    """Names of the peers whose studies it reads."""
    called_ae_titles: tuple[str, ...] = ()
    """Our AE titles; lets a modality choose the model by the title that it sends to."""
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """A finding below this score is none; by default as the model's card says."""


class DecoderSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of the processes that turn compressed pixels into values."""

    memory_mib: int = Field(default=2048, ge=512)
    """Address space of one decoder; a hostile object costs this much and no more."""
    deadline_s: PositiveFloat = 30.0
    """Longest time one frame may take, so that a decoder that hangs ends one job only."""
    frame_mib: PositiveInt = 256
    """Size of one decoded frame, checked before it is decoded; a 50 megapixel frame of 16 bits
    takes 100."""
    object_mib: PositiveInt = 65536
    """Size of all frames of an object, which are decoded one at a time."""
    encoded_mib: PositiveInt = 512
    """Size of an object as it was sent; a decoder holds it twice while it parses."""
    children: int = Field(default=3, ge=1, le=64)
    """How many objects are decoded at the same time; one more than `studies_at_once`, so that a
    study of many frames does not keep a single request waiting."""
    jobs_per_child: PositiveInt = 200
    """After so many a decoder is replaced, so that nothing it leaks lasts."""
    idle_s: float = Field(default=0.0, ge=0)
    """After so long without work the decoders end and give their memory back; 0 keeps them warm."""

    def limits(self) -> DecoderLimits:
        """Return these settings as `imaging` takes them."""
        return DecoderLimits(**self.model_dump())


class InferenceSettings(BaseModel, frozen=True, extra="forbid"):
    """The `inference:` section of config.yaml."""

    models: tuple[ModelRule, ...] = (ModelRule(name="polyp"),)
    """Which models read which studies."""
    package_folders: tuple[Path, ...] = ()
    """Folders with model packages beside the shipped ones, one folder each."""
    socket: Path = Path("run/reader.sock")
    """Where the reader listens, relative to config.yaml; only this user can reach it."""
    load: Literal["start", "first use"] = "start"
    """When models are loaded; `start` finds a wrong package before the first study does."""
    threads: int = Field(default=0, ge=0, le=64)
    """Processor threads of one model; 0 takes all cores, but four at most, because more rarely
    help one frame."""
    requests_at_once: int = Field(default=16, ge=1, le=256)
    """Studies and pictures that the reader takes on together; the next is asked to come back."""
    request_timeout_s: PositiveFloat = 600.0
    """How long a whole study may take before whoever asked gives up."""
    model_deadline_s: PositiveFloat = 60.0
    """How long a model may take over one frame; then the reader ends and is started afresh."""
    memory_mib: PositiveInt = 4096
    """Resident size at which the reader ends and is started afresh."""
    decoder: DecoderSettings = DecoderSettings()
    """Limits of the decoders."""
