import hashlib

import pytest

from dicom_node.certificates import ANY, CertificateIdentity, binding, identity

DECODED = {
    "subject": ((("organizationName", "Hospital"),), (("commonName", "CT1"),)),
    "subjectAltName": (
        ("DNS", "CT1.Hospital.example"),
        ("IP Address", "0:0:0:0:0:0:0:1"),
        ("DirName", ((("commonName", "X"),),)),
    ),
}
FINGERPRINT = hashlib.sha256(b"whole").hexdigest()


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("sha256:" + ":".join(["AB"] * 32), "SHA256:" + "ab" * 32),
        ("dns:CT1.Hospital.Example", "DNS:ct1.hospital.example"),
        ("IP:::1", "IP:::1"),
        ("cn: CT 1", "CN:CT 1"),
        ("any", ANY),
    ],
)
def test_a_binding_is_compared_in_one_form(written: str, compared: str) -> None:
    assert binding(written) == compared


@pytest.mark.parametrize(
    "written", ["", "CT1", "SHA256:abcd", "SHA1:" + "ab" * 20, "IP:ct1", "CN:"]
)
def test_what_names_no_certificate_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"fingerprint|address"):
        binding(written)


@pytest.mark.parametrize(
    "written",
    [f"SHA256:{FINGERPRINT}", "DNS:ct1.hospital.example", "IP:::1", "CN:CT1", "ANY"],
)
def test_a_certificate_is_known_by_whatever_it_proves(written: str) -> None:
    assert identity(b"whole", DECODED).is_one_of([binding("CN:CT2"), binding(written)])


@pytest.mark.parametrize("written", ["CN:ct1", "DNS:hospital.example", "CN:X", "CN:Hospital"])
def test_a_certificate_is_nobody_else(written: str) -> None:
    assert not identity(b"whole", DECODED).is_one_of([binding(written)])


def test_a_certificate_without_a_name_is_known_by_its_fingerprint_alone() -> None:
    nameless = identity(b"whole", {})
    assert nameless == CertificateIdentity(FINGERPRINT, ())
    assert not nameless.is_one_of([])
