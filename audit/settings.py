"""The `audit:` section of config.yaml."""

from pathlib import Path

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt


class AuditSettings(BaseModel, frozen=True, extra="forbid"):
    """The `audit:` section of config.yaml."""

    folder: Path = Path("audit")
    """Where the log is, relative to config.yaml; on a local disk, because it must sync."""
    source_id: str = Field(default="second-reader", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """AuditSourceID of every exported message, and the name that checkpoints are signed under; give
    each installation its own, so that one log cannot be passed off as another."""
    checkpoint_interval_s: PositiveFloat = 60.0
    """No record stays unsigned for longer."""
    checkpoint_every_events: PositiveInt = 1000
    """So that a busy minute is not unsigned for all of it."""
    checkpoint_files: tuple[Path, ...] = ()
    """Every checkpoint is appended to these too. Put at least one where this service cannot
    rewrite it: without that nobody can tell a log that was cut back and signed again."""
    max_outbox_age_s: PositiveFloat = 60.0
    """A record that waits longer for the log means that the sequencer is stuck: verify fails."""
    entries_per_segment: int = Field(default=65_536, ge=1, le=1_000_000)
    """How many records one file of a new log holds; the newest file is read at start."""
    retention_years: PositiveInt = 6
    """For how long records must be kept (by convention, 45 CFR 164.316); nothing deletes them."""
