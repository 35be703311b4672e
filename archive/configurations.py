"""Which config.yaml each listener works by: what it took up, and what it could not."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from archive.database import Transaction
from archive.tables import configuration as table


@dataclass(frozen=True)
class ConfigurationInForce:
    """What one listener made of the config.yaml that it last looked at."""

    place: str
    """Of the listener: its host and port."""
    digest: str
    """SHA-256 of the file whose peers are in force, hex."""
    fault: str
    """Why the file that is there now was not taken up; empty if it was."""
    waiting: str
    """Sections that differ from those in force and need a restart, separated by commas."""
    at: datetime


class Configurations:
    """What the listeners of an installation say of their configuration."""

    def put(self, tx: Transaction, one: ConfigurationInForce) -> None:
        """Note what a listener works by now."""
        values = {
            "digest": one.digest,
            "fault": one.fault,
            "waiting": one.waiting,
            "at": one.at,
        }
        tx.execute(
            tx.insert(table)
            .values(place=one.place, **values)
            .on_conflict_do_update(index_elements=["place"], set_=values)
        )

    def remove(self, tx: Transaction, place: str) -> None:
        """Forget a listener that stops."""
        tx.execute(delete(table).where(table.c.place == place))

    def all(self, tx: Transaction) -> tuple[ConfigurationInForce, ...]:
        """Return what every listener said last; one that died is still among them."""
        return tuple(
            ConfigurationInForce(row.place, row.digest, row.fault, row.waiting, row.at)
            for row in tx.execute(select(table).order_by(table.c.place))
        )
