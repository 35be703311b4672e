"""What we rest on inside pynetdicom is as it was when we read it.

A failure here means that the library was changed. Read the change, see whether `upper_layer`,
`prompt_socket`, `secure_socket`, `message_stream`, `acceptor` and `association` still hold, then
write down the digest that the failure shows.
"""

import hashlib
import importlib
import inspect

import pytest

READ = {
    "fsm.StateMachine": "4f5a8497cf9a",
    "fsm.AE_1": "4ba54b0d47fc",
    "fsm.AE_2": "80aa98b2cf0c",
    "fsm.AE_3": "78fa365f7915",
    "fsm.AE_4": "9174bacb68ff",
    "fsm.AE_5": "35e8617fcc8d",
    "fsm.AE_6": "385d595ed494",
    "fsm.AE_7": "c62284735836",
    "fsm.AE_8": "9fc96fcfe2e1",
    "fsm.DT_1": "82e5c5d41145",
    "fsm.DT_2": "9ec543394e0b",
    "fsm.AR_1": "21d3be046007",
    "fsm.AR_2": "2cf6aeb89062",
    "fsm.AR_3": "f1598039bd13",
    "fsm.AR_4": "33a12cf6208e",
    "fsm.AR_5": "dc32d2343f42",
    "fsm.AR_6": "4c7826acf846",
    "fsm.AA_1": "8495a4665f7a",
    "fsm.AA_2": "a58069d82991",
    "fsm.AA_3": "de64452e828d",
    "fsm.AA_4": "de72d40c80b0",
    "fsm.AA_5": "4a8a4a3ac26f",
    "fsm.AA_8": "06c83317f088",
    "timer.Timer": "77ddae7423f5",
    "dul.DULServiceProvider": "c0a5c6a4618e",
    "dimse.DIMSEServiceProvider.__init__": "bbecd186810e",
    "dimse.DIMSEServiceProvider.get_msg": "890e3e04283f",
    "dimse.DIMSEServiceProvider.receive_primitive": "5f99c86b14a1",
    "dimse.DIMSEServiceProvider.send_msg": "a839cf2fb469",
    "dimse_messages.DIMSEMessage.__init__": "b9c44307ebf2",
    "dimse_messages.DIMSEMessage.decode_msg": "f51c777e841a",
    "dimse_messages.DIMSEMessage.encode_msg": "73000c902c52",
    "dimse_messages.DIMSEMessage.message_to_primitive": "f8f43d34e434",
    "dimse_messages.DIMSEMessage.primitive_to_message": "71fd61d5997f",
    "association.Association.__init__": "eb07516b8009",
    "association.Association.abort": "de1cee39dfe3",
    "association.Association._abort_blocking": "10b43ef8c63c",
    "association.Association.kill": "8f9713666a7f",
    "association.Association.request": "928cd0e3013c",
    "association.Association.run_reactor": "ed8bbbe3b3d6",
    "association.Association.set_socket": "235681dc7517",
    "acse.ACSE._negotiate_as_acceptor": "fffd360957c4",
    "acse.ACSE._negotiate_as_requestor": "507959152c58",
    "acse.ACSE.is_aborted": "ad2eb3f545a9",
    "acse.ACSE.is_release_requested": "894b33d21a8d",
    "acse.ACSE.negotiate_release": "e66977c72923",
    "acse.ACSE.send_abort": "6707ebd82b15",
    "acse.ACSE.send_accept": "c03855deabef",
    "acse.ACSE.send_reject": "700998293bbc",
    "acse.ACSE.send_release": "28eaf9df836c",
    "transport.AssociationSocket": "4f95b1dce606",
    "transport.AssociationServer.__init__": "edacb98bdfb7",
    "transport.AssociationServer.get_request": "925a4f3a3042",
    "transport.AssociationServer.process_request": "4fa44ac5b54b",
    "transport.AssociationServer.server_bind": "cf69278a05a5",
    "transport.AssociationServer.server_close": "3fa1b358badb",
    "transport.AssociationServer.service_actions": "0a0853a3615a",
    "transport.AssociationServer.shutdown": "e8e2c3a41009",
}
"""Name inside pynetdicom, and the first digits of the SHA-256 of its source (3.0.4)."""


@pytest.mark.parametrize("name", READ)
def test_what_we_read_of_the_library_is_unchanged(name: str) -> None:
    module, *path = name.split(".")
    found: object = importlib.import_module(f"pynetdicom.{module}")
    for part in path:
        found = getattr(found, part)
    source = inspect.getsource(found)  # type: ignore[arg-type]
    assert hashlib.sha256(source.encode()).hexdigest()[:12] == READ[name]
