"""From settings to contexts, and files that are replaced while we run."""

import logging
import os
import ssl
from pathlib import Path

import pytest

from dicom_node.secure.tls import (
    TLS12_SUITES,
    TLS13_SUITES,
    ListeningContext,
    TlsFileError,
    calling_context,
    listening_context,
)
from dicom_node.settings import TlsCallSettings, TlsListenerSettings
from tests.dicom_node.secure import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def settings(hospital: Hospital, **values: object) -> TlsListenerSettings:
    return TlsListenerSettings.model_validate(hospital.tls() | values)


def fault(hospital: Hospital, **values: object) -> str:
    with pytest.raises(TlsFileError) as raised:
        listening_context(settings(hospital, **values))
    return str(raised.value)


def test_both_sides_offer_what_bcp_195_says_and_nothing_else(hospital: Hospital) -> None:
    """RFC 9325 4.2."""
    calling = calling_context(TlsCallSettings.model_validate(hospital.tls()))
    for context in (listening_context(settings(hospital)), calling):
        names = {suite["name"] for suite in context.get_ciphers()}
        assert names == {*TLS12_SUITES, *TLS13_SUITES}
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
    assert calling.check_hostname


def test_a_profile_speaks_nothing_older_than_tls_1_3(hospital: Hospital) -> None:
    context = listening_context(settings(hospital, profile="tls13_only"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_key_that_others_can_read_is_refused(hospital: Hospital) -> None:
    hospital.reader.key_file.chmod(0o640)
    said = fault(hospital)
    assert "can be read by others (mode 0640)" in said
    assert f"chmod 600 {hospital.reader.key_file}" in said


def test_a_file_that_is_missing_is_named(hospital: Hospital, tmp_path: Path) -> None:
    for name in ("certificate_file", "key_file", "ca_file", "crl_file"):
        said = fault(hospital, **{name: tmp_path / "none.pem"})
        assert f"{tmp_path / 'none.pem'} cannot be read (No such file or directory)" in said


def test_a_key_of_another_certificate_is_refused(hospital: Hospital) -> None:
    said = fault(hospital, key_file=hospital.scanner.key_file)
    assert "key values mismatch" in said
    assert "belong together" in said


def test_a_key_with_a_passphrase_asks_nobody_for_it(hospital: Hospital) -> None:
    locked = hospital.authority.issue("locked", passphrase=b"secret")
    said = fault(hospital, **hospital.tls(locked))
    assert "without a passphrase" in said


def test_a_key_that_is_too_short_is_refused(hospital: Hospital) -> None:
    short = hospital.authority.issue("short", rsa_bits=1024)
    assert "key too small" in fault(hospital, **hospital.tls(short))


def test_what_holds_no_authority_or_no_list_is_refused(hospital: Hospital, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    assert "holds no certificates" in fault(hospital, ca_file=text)
    assert "holds no revocation list" in fault(hospital, crl_file=text)
    assert "holds no revocation list" in fault(hospital, crl_file=hospital.authority.file)


def later(*files: Path) -> None:
    """Let files look as if they had been written a while after they were."""
    for file in files:
        seen = file.stat()
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1_000_000))


def test_files_that_stay_give_the_same_context(hospital: Hospital) -> None:
    source = ListeningContext(settings(hospital))
    assert source.get() is source.get()


def test_a_context_is_forgotten_after_a_while_with_the_sessions_that_it_remembers(
    hospital: Hospital,
) -> None:
    now = 0.0
    source = ListeningContext(settings(hospital), clock=lambda: now)
    first = source.get()
    now = 599.0
    assert source.get() is first
    now = 601.0
    assert source.get() is not first


def test_replaced_files_are_taken_up(hospital: Hospital) -> None:
    source = ListeningContext(settings(hospital))
    before = source.get()
    later(hospital.reader.certificate_file)
    assert source.get() is not before


def test_broken_files_leave_those_of_before_in_force_and_are_said_once(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListeningContext(settings(hospital))
    before = source.get()
    whole = hospital.reader.certificate_file.read_bytes()
    hospital.reader.certificate_file.write_text("half a file")
    with caplog.at_level(logging.ERROR):
        assert source.get() is before
        assert source.get() is before
    assert len(caplog.records) == 1
    assert "those of before stay in force" in caplog.text
    hospital.reader.certificate_file.write_bytes(whole)
    assert source.get() is not before
