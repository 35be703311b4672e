"""API keys."""

from pathlib import Path

import pytest

from archive.accounts import ApiKey, IssuedApiKey, NoSuchApiKeyError
from archive.archive import Archive
from archive.errors import ExpiredApiKeyError, RevokedApiKeyError, UnknownApiKeyError
from core.errors import AccessError
from tests.support.archives import at


def _issue(archive: Archive, *, expires: float | None = None) -> IssuedApiKey:
    with archive.transaction() as tx:
        return archive.accounts.issue(
            tx,
            "emr",
            ["detect", "studies:read"],
            at=at(0),
            expires_at=None if expires is None else at(expires),
        )


def _authenticate(archive: Archive, secret: str, seconds: float = 1) -> ApiKey:
    with archive.snapshot() as tx:
        return archive.accounts.authenticate(tx, secret, at=at(seconds))


def test_a_key_opens_what_it_was_made_for(archive: Archive) -> None:
    issued = _issue(archive)
    known = _authenticate(archive, issued.secret)
    assert known == issued.record
    assert known.scopes == {"detect", "studies:read"}
    assert issued.secret.startswith(f"sr_{known.prefix}_")


def test_the_secret_is_kept_nowhere(archive: Archive, tmp_path: Path) -> None:
    random_part = _issue(archive).secret.rpartition("_")[2]
    assert len(random_part) * 5 >= 160
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert random_part.encode() not in everything


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "sr",
        lambda secret: secret[:-1],
        lambda secret: secret + "a",
        lambda secret: secret.replace("sr_", "xx_", 1),
        lambda secret: secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        lambda _: "sr_zzzzzzzz_" + "a" * 32,
        lambda _: "sr_\u00e4_" + "\u00e4" * 32,
    ],
)
def test_what_is_not_a_key_opens_nothing(archive: Archive, change: object) -> None:
    secret = _issue(archive).secret
    with pytest.raises(UnknownApiKeyError):
        _authenticate(archive, change(secret))  # type: ignore[operator]


def test_a_revoked_key_opens_nothing_from_then_on(archive: Archive) -> None:
    issued = _issue(archive)
    with archive.transaction() as tx:
        first = archive.accounts.revoke(tx, issued.record.prefix, at=at(5))
        again = archive.accounts.revoke(tx, issued.record.prefix, at=at(6))
    assert first.revoked_at == again.revoked_at == at(5)
    with pytest.raises(RevokedApiKeyError) as caught:
        _authenticate(archive, issued.secret)
    assert isinstance(caught.value, AccessError)


def test_an_expired_key_opens_nothing(archive: Archive) -> None:
    issued = _issue(archive, expires=10)
    assert _authenticate(archive, issued.secret, 9).expires_at == at(10)
    with pytest.raises(ExpiredApiKeyError):
        _authenticate(archive, issued.secret, 10)


def test_last_use_is_noted_once_a_minute(archive: Archive) -> None:
    issued = _issue(archive)
    assert archive.accounts.needs_note(issued.record, at=at(1))
    with archive.transaction() as tx:
        archive.accounts.note_use(tx, issued.record.prefix, at=at(1))
    known = _authenticate(archive, issued.secret)
    assert known.last_used_at == at(1)
    assert not archive.accounts.needs_note(known, at=at(60))
    assert archive.accounts.needs_note(known, at=at(61))


def test_keys_are_listed_oldest_first(archive: Archive) -> None:
    first, second = _issue(archive), _issue(archive)
    with archive.snapshot() as tx:
        listed = archive.accounts.all(tx)
    assert {one.prefix for one in listed} == {first.record.prefix, second.record.prefix}


def test_revoking_a_key_that_never_was_says_so(archive: Archive) -> None:
    with archive.transaction() as tx, pytest.raises(NoSuchApiKeyError, match="nobody"):
        archive.accounts.revoke(tx, "nobody", at=at(1))
