"""The shapes of peers and refused callers on the wire."""

from datetime import datetime

from pydantic import Field

from api.schemas import Wire


class PeerItem(Wire):
    """One peer that may connect over DICOM."""

    name: str
    ae_title: str
    called_ae_title: str = Field(description="The AE title that it must call us by.")
    addresses: tuple[str, ...]
    certificates: tuple[str, ...] = Field(description="One of them it must show, if there are any.")
    issuer_of_patient_id: str
    allow: tuple[str, ...]
    priority: str
    last_seen_at: datetime | None = Field(description="When it was last let in.")
    last_seen_address: str | None


class PeerList(Wire):
    """All peers of config.yaml."""

    peers: tuple[PeerItem, ...]
    is_current: bool = Field(
        description="False if config.yaml is wrong: then these are those of before it was."
    )


class CallerItem(Wire):
    """Somebody who was refused; titles and subject are what it said of itself."""

    id: str
    address: str
    calling_ae_title: str = Field(description="Empty if it was refused before it could say.")
    called_ae_title: str
    certificate_sha256: str | None
    certificate_subject: str | None
    first_at: datetime
    last_at: datetime
    count: int
    reason: str = Field(description="Of the last refusal.")
    what_allows: str = Field(description="A command, or what else lets it in.")


class CallerList(Wire):
    """Everybody who was refused and not allowed since, newest first."""

    callers: tuple[CallerItem, ...]
