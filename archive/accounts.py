"""API keys: random, shown once, kept as a digest, scoped, revocable."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from archive.database import Transaction
from archive.errors import ExpiredApiKeyError, RevokedApiKeyError, UnknownApiKeyError
from archive.tables import api_key as table
from core.errors import NotFoundError

_MARK = "sr"
_PREFIX_BYTES, _SECRET_BYTES = 5, 20
_USE_NOTED_EVERY = timedelta(minutes=1)
"""Last use is noted to the minute, so that a request does not cost a write."""


class NoSuchApiKeyError(NotFoundError):
    """No API key has that prefix."""


@dataclass(frozen=True)
class ApiKey:
    """What we know of one API key; not the key itself."""

    prefix: str
    """The public part, by which logs and `apikey list` name it."""
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class IssuedApiKey:
    """A new key: the only moment at which anybody sees it."""

    record: ApiKey
    secret: str


class Accounts:
    """Issues, recognises and revokes API keys."""

    def issue(
        self,
        tx: Transaction,
        name: str,
        scopes: Iterable[str],
        *,
        at: datetime,
        expires_at: datetime | None = None,
    ) -> IssuedApiKey:
        """Make a key of 160 random bits."""
        prefix = _random(_PREFIX_BYTES)
        secret = f"{_MARK}_{prefix}_{_random(_SECRET_BYTES)}"
        record = ApiKey(prefix, name, frozenset(scopes), at, expires_at, None, None)
        tx.execute(
            table.insert(),
            {
                "prefix": prefix,
                "digest": _digest(secret),
                "name": name,
                "scopes": " ".join(sorted(record.scopes)),
                "created_at": at,
                "expires_at": expires_at,
                "last_used_at": None,
                "revoked_at": None,
            },
        )
        return IssuedApiKey(record, secret)

    def authenticate(self, tx: Transaction, secret: str, *, at: datetime) -> ApiKey:
        """Return whose key it is.

        Raises
        ------
        UnknownApiKeyError, ExpiredApiKeyError, RevokedApiKeyError
            If it does not open anything.
        """
        mark, _, rest = secret.partition("_")
        prefix = rest.partition("_")[0]
        row = tx.execute(select(table).where(table.c.prefix == prefix)).first()
        # Compared even where there is no such key, so that both take the same time.
        expected = row.digest if row is not None else bytes(32)
        if not hmac.compare_digest(expected, _digest(secret)) or row is None or mark != _MARK:
            raise UnknownApiKeyError("the API key is unknown")
        record = _record(row)
        if record.revoked_at is not None:
            raise RevokedApiKeyError(f"the API key {prefix} was revoked")
        if record.expires_at is not None and record.expires_at <= at:
            raise ExpiredApiKeyError(f"the API key {prefix} has expired")
        return record

    def needs_note(self, record: ApiKey, *, at: datetime) -> bool:
        """Whether `note_use` has something to write."""
        return record.last_used_at is None or at - record.last_used_at >= _USE_NOTED_EVERY

    def note_use(self, tx: Transaction, prefix: str, *, at: datetime) -> None:
        """Note that a key was used."""
        tx.execute(update(table).where(table.c.prefix == prefix).values(last_used_at=at))

    def revoke(self, tx: Transaction, prefix: str, *, at: datetime) -> ApiKey:
        """Take a key back; to repeat it changes nothing.

        Raises
        ------
        NoSuchApiKeyError
            If there is none of that prefix.
        """
        tx.execute(
            update(table)
            .where(table.c.prefix == prefix, table.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        row = tx.execute(select(table).where(table.c.prefix == prefix)).first()
        if row is None:
            raise NoSuchApiKeyError(
                f"there is no API key {prefix}", remedy="`apikey list` shows the prefixes"
            )
        return _record(row)

    def all(self, tx: Transaction) -> tuple[ApiKey, ...]:
        """Return every key, oldest first."""
        rows = tx.execute(select(table).order_by(table.c.created_at, table.c.prefix))
        return tuple(_record(row) for row in rows)


def _random(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().lower()


def _digest(secret: str) -> bytes:
    # A plain hash is enough: nobody tries 160 random bits.
    return hashlib.sha256(secret.encode()).digest()


def _record(row: Row[Any]) -> ApiKey:
    return ApiKey(
        prefix=row.prefix,
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
