"""Everything that can happen to a study, gone through once with marked objects."""

import base64
import http.client
import json
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from core.errors import UnavailableError
from core.uids import random_uid
from dicom_node.association import Destination
from dicom_node.part10 import OutgoingObject
from dicom_node.store_scu import SendOutcome, send
from tests.support.builders import encoded, part10
from tests.support.installation import AE_TITLE, SENDER, Service, storescu
from tests.support.marked import ALPHABETS, Marks, marked_object

SPAN = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
SETTLED_WITHIN_S = 180.0
HANGING = "HANGING"
"""The AE title of a sender whose studies a model reads that never ends with white pictures."""


class Play:
    """Goes through everything once, with objects of its own."""

    def __init__(self, service: Service, marks: Marks) -> None:
        self.service = service
        self.marks = marks
        self.sent: list[FileDataset] = []
        self.outcomes: dict[str, str] = {}

    def everything(self) -> None:
        """Send, ask and wait until all has come to its end."""
        stored = self._store_by_storescu()
        self._break_objects()
        self._contradict(stored[0], stored[1])
        self._call_as_nobody()
        self._let_models_fail()
        self._ask_rest(stored[0])
        self._wait_until_settled()
        self._ask_about(str(stored[0].StudyInstanceUID))
        self._use_commands(str(stored[1].StudyInstanceUID))

    def _made(
        self, character_set: str = "ISO_IR 100", pixels: NDArray[np.uint8] | None = None
    ) -> FileDataset:
        made = marked_object(self.marks, character_set, pixels)
        self.sent.append(made)
        return made

    def _store_by_storescu(self) -> list[FileDataset]:
        objects = [self._made(name) for name in ALPHABETS]
        with tempfile.TemporaryDirectory() as folder:
            for number, made in enumerate(objects):
                made.save_as(Path(folder, f"{number}.dcm"), enforce_file_format=True)
            output, _ = storescu(self.service.dicom_port, Path(folder)).communicate(timeout=120)
        assert output.count(b"Received Store Response (Success)") == len(objects)
        return objects

    def _break_objects(self) -> None:
        cut = self._made()
        self._note("unreadable", self._push(cut, lambda data: data[: len(data) // 2]))
        self._note("no study", self._push(self._made(), lambda _: b"\x08\x00\x05\x00XX\x00\x00"))
        other = self._made()
        self._note("mismatch", self._push(other, sop_instance_uid=random_uid()))
        long = self._made(pixels=np.zeros((512, 512, 3), np.uint8))  # of several PDUs
        self._note("abort", self._push(long, _broken_off))

    def _contradict(self, first: FileDataset, second: FileDataset) -> None:
        """Other pixels, another patient, and another patient's object in the same study."""
        conflict = self._made()
        conflict.update({e.tag: e for e in first if e.tag < 0x7FE00010})
        conflict.PixelData = bytes(len(first.PixelData))
        self._note("conflict", self._push(conflict))
        correction = self._made()
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            setattr(correction, keyword, second[keyword].value)
        self._note("correction", self._push(correction))
        mixed = self._made()
        mixed.StudyInstanceUID = second.StudyInstanceUID
        self._note("mixed", self._push(mixed))

    def _call_as_nobody(self) -> None:
        self._note("refused", self._push(self._made(), calling="NOBODY"))

    def _let_models_fail(self) -> None:
        broken = self._made()
        broken.PixelData = encapsulate([b"\xff\xd8\xff\xe0 no picture \xff\xd9\x00"])
        broken["PixelData"].VR = "OB"
        broken["PixelData"].is_undefined_length = True
        broken.PhotometricInterpretation = "YBR_FULL_422"
        outcome = self._push(broken, syntax=str(JPEGBaseline8Bit))
        self._note("undecodable", outcome)
        white = self._made(pixels=np.full((64, 64, 3), 255, np.uint8))
        self._note("hanging", self._push(white, calling=HANGING))

    def _push(
        self,
        made: FileDataset,
        change: Callable[[bytes], "bytes | Iterator[bytes]"] = bytes,
        *,
        sop_instance_uid: str = "",
        calling: str = SENDER,
        syntax: str = str(ExplicitVRLittleEndian),
    ) -> SendOutcome:
        def read() -> Iterator[bytes]:
            changed = change(encoded(made))
            return iter((changed,)) if isinstance(changed, bytes) else changed

        uid = sop_instance_uid or str(made.SOPInstanceUID)
        outgoing = OutgoingObject(str(made.SOPClassUID), uid, syntax, read)
        port = self.service.dicom_port
        (outcome,) = send([outgoing], Destination("us", "127.0.0.1", port, AE_TITLE, calling))
        return outcome

    def _note(self, what: str, outcome: SendOutcome) -> None:
        status = "none" if outcome.status is None else f"{outcome.status:04X}"
        self.outcomes[what] = f"{status} {outcome.text}"

    def _ask_rest(self, known: FileDataset) -> None:
        once = self._made()
        self.outcomes["detect"] = self._post(part10(once))
        self.outcomes["detect, base64"] = self._post(part10(self._made("ISO_IR 192")), in_json=True)
        broken = part10(self._made())
        self.outcomes["detect, cut"] = self._post(broken[: len(broken) // 2])
        self.outcomes["detect, picture"] = self._post(self._picture())
        nobody = self._made()
        for path in (
            f"/v1/studies/{nobody.StudyInstanceUID}",
            f"/v1/studies/{nobody.StudyInstanceUID}/results",
            f"/v1/studies/{known.StudyInstanceUID}",
            f"/v1/audit?{SPAN}&user={nobody.PatientID}",
            f"/v1/{nobody.PatientID}",
        ):
            with suppress(urllib.error.HTTPError):
                self.service.get(path)

    def _picture(self) -> bytes:
        """Return a PNG that names a patient beside its pixels."""
        made = self._made()
        notes = PngInfo()
        notes.add_text("Comment", str(made.PatientName))
        buffer = BytesIO()
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(buffer, "PNG", pnginfo=notes)
        return buffer.getvalue()

    def _post(self, content: bytes, *, in_json: bool = False) -> str:
        if in_json:
            fields = {"dicom": base64.b64encode(content).decode(), "model": "bright"}
            body = json.dumps(fields).encode()
            kind = "application/json"
        else:
            name = b'name="file"; filename="' + str(self.sent[-1].PatientID).encode() + b'.dcm"'
            part = b"--cut\r\nContent-Disposition: form-data; "
            body = part + b'name="model"\r\n\r\nbright\r\n'
            body += part + name + b"\r\n\r\n" + content + b"\r\n--cut--\r\n"
            kind = "multipart/form-data; boundary=cut"
        connection = http.client.HTTPConnection("127.0.0.1", self.service.api_port, timeout=60)
        headers = {"Authorization": f"Bearer {self.service.api_key}", "Content-Type": kind}
        with closing(connection):
            connection.request("POST", "/v1/detect", body, headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)

    def _wait_until_settled(self) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            studies = self.service.get("/v1/studies?limit=50")["studies"]
            states = [study["state"] for study in studies]
            if not {"OPEN", "SCHEDULED", "IN PROGRESS"} & set(states):
                self.outcomes |= {state: str(states.count(state)) for state in set(states)}
                return
            time.sleep(1)
        raise AssertionError(f"not all studies came to an end: {states}\n{self.service.tail()}")

    def _ask_about(self, study_instance_uid: str) -> None:
        self.service.get(f"/v1/audit?{SPAN}")
        for of in (study_instance_uid, self.sent[0].PatientID):
            with suppress(urllib.error.HTTPError):
                self.service.get(f"/v1/studies/{of}/results")

    def _use_commands(self, study_instance_uid: str) -> None:
        self.service.run("study", "show", study_instance_uid)
        self.service.run("study", "show", random_uid(), check=False)
        self.service.run("audit", "search", "--patient", str(self.sent[0].PatientID))
        self.service.run("audit", "verify")
        self.service.run("doctor", check=False)


def _broken_off(data: bytes) -> Iterator[bytes]:
    """Yield the beginning, and break off in the middle."""
    yield data[: len(data) // 2]
    raise UnavailableError("the test breaks off")
