"""The examples of the OpenAPI document; a test sends each and checks each."""

from typing import Any

_MODEL = {"name": "polyp", "version": "1.0.0", "digest": "9f" * 32}
_STUDY = {
    "study_instance_uid": "2.25.99999999",
    "accession_number": "A-1001",
    "patient_id": "P-7",
    "issuer_of_patient_id": "HOSPITAL",
}
_NOTICE = "For research and second reading; not for diagnosis."
_NOON = "2026-11-20T10:30:00Z"

PICTURE_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""

DETECT_REQUEST: dict[str, Any] = {"image": PICTURE_BASE64, "model": "polyp", "confidence": 0.25}
DETECT: dict[str, Any] = {
    "detections": [
        {
            "bbox": [104.0, 88.5, 190.25, 171.0],
            "outline": None,
            "confidence": 0.89,
            "class": "polyp",
            "frame": 1,
        }
    ],
    "processed_at": _NOON,
    "model_version": "polyp 1.0.0",
    "model": _MODEL,
    "threshold": 0.25,
    "conclusion": "findings",
    "image": {"rows": 352, "columns": 352, "number_of_frames": 1},
    "request_id": "0f8fad5bd9cb469f",
    "notice": _NOTICE,
}
STUDY: dict[str, Any] = _STUDY | {
    "study_key": "st-4f1c",
    "state": "COMPLETED",
    "revision": 1,
    "hold_reason": None,
    "modalities": ["ES"],
    "number_of_instances": 3,
    "received_at": _NOON,
    "updated_at": _NOON,
}
STUDIES: dict[str, Any] = {"studies": [STUDY], "next_cursor": "MjAyNi0xMS0yMA"}
STUDY_DETAIL: dict[str, Any] = STUDY | {
    "completeness": {
        "rule": "quiet for 180 s (ES)",
        "is_complete": True,
        "decided_at": _NOON,
        "time_left_s": None,
    },
    "journey": [{"at": _NOON, "revision": 1, "event": "received", "reason": ""}],
    "deliveries": [
        {
            "destination": "pacs",
            "kind": "SR",
            "sop_instance_uid": "2.25.11",
            "state": "COMPLETED",
            "attempts": 1,
            "outcome": "0000 from PACS",
            "updated_at": _NOON,
            "next_attempt_at": None,
        }
    ],
}
_CONCEPT = {"value": "68496003", "scheme": "SCT", "meaning": "Polyp of colon"}
RESULTS: dict[str, Any] = _STUDY | {
    "revision": 1,
    "newest_revision": 1,
    "state": "COMPLETED",
    "completeness_rule": "quiet for 180 s (ES)",
    "number_of_instances": 3,
    "readings": [
        {
            "model": _MODEL,
            "threshold": 0.25,
            "labels": ["polyp"],
            "conclusion": "findings",
            "statement": "Findings above 0.25; 3 of 3 instances evaluated.",
            "number_evaluated": 3,
            "number_failed": 0,
            "reasons": [],
            "findings": [
                {
                    "bbox": [104.0, 88.5, 190.25, 171.0],
                    "outline": None,
                    "tracking_uid": "2.25.31",
                    "label": "polyp",
                    "concept": _CONCEPT,
                    "score": 0.89,
                    "probability": None,
                    "series_instance_uid": "2.25.21",
                    "sop_instance_uid": "2.25.22",
                    "frame": 1,
                    "measurements": [],
                }
            ],
        }
    ],
    "objects": [
        {
            "kind": "SR",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.34",
            "series_instance_uid": "2.25.10",
            "sop_instance_uid": "2.25.11",
            "created_at": _NOON,
        }
    ],
    "notice": _NOTICE,
}
MODELS: dict[str, Any] = {
    "models": [
        {
            "name": "polyp",
            "version": "1.0.0",
            "digest": "9f" * 32,
            "task": "detection",
            "labels": ["polyp"],
            "threshold": 0.25,
            "accepts": ["modality ES"],
            "intended_use": "Research; not for diagnosis.",
            "training_data": "800 colonoscopy frames",
            "performance": {"mAP50": 0.8},
            "is_ready": True,
            "reason": "",
        }
    ]
}
AUDIT: dict[str, Any] = {
    "records": [
        {
            "event_id": "7d44",
            "position": 12,
            "at": _NOON,
            "event": {"value": "110103", "scheme": "DCM", "meaning": "DICOM Instances Accessed"},
            "action": "R",
            "outcome": 0,
            "participants": [
                {
                    "user_id": "emr",
                    "user_name": "",
                    "role": "requestor",
                    "is_requestor": True,
                    "network_access_point": "10.0.0.7",
                }
            ],
            "objects": [{"id_type": "110180", "id": "2.25.99999999", "name": "Study"}],
            "type_code": None,
            "description": "",
            "details": [],
        }
    ],
    "next_cursor": None,
}
PEERS: dict[str, Any] = {
    "peers": [
        {
            "name": "ct1",
            "ae_title": "CT1",
            "called_ae_title": "SECOND_READER",
            "addresses": ["192.0.2.7/32"],
            "certificates": [],
            "issuer_of_patient_id": "HOSPITAL",
            "allow": ["echo", "store"],
            "priority": "routine",
            "last_seen_at": _NOON,
            "last_seen_address": "192.0.2.7",
        }
    ],
    "is_current": True,
}
UNKNOWN_CALLERS: dict[str, Any] = {
    "callers": [
        {
            "id": "k3v7q2ab",
            "address": "192.0.2.9",
            "calling_ae_title": "CT2",
            "called_ae_title": "SECOND_READER",
            "certificate_sha256": None,
            "certificate_subject": None,
            "first_at": _NOON,
            "last_at": _NOON,
            "count": 3,
            "reason": "unknown calling AE title",
            "what_allows": "second-reader peer allow k3v7q2ab --name NAME",
        }
    ]
}
READY: dict[str, Any] = {
    "status": "ready",
    "parts": [{"name": "reader", "is_ready": True, "reason": "1 model loaded", "remedy": ""}],
}

ANSWERS: dict[str, dict[str, Any]] = {
    "POST /v1/detect": DETECT,
    "GET /v1/studies": STUDIES,
    "GET /v1/studies/{uid}": STUDY_DETAIL,
    "GET /v1/studies/{uid}/results": RESULTS,
    "POST /v1/studies/{uid}/retry": STUDY,
    "GET /v1/models": MODELS,
    "GET /v1/peers": PEERS,
    "GET /v1/peers/unknown": UNKNOWN_CALLERS,
    "GET /v1/audit": AUDIT,
    "GET /readyz": READY,
}
"""By route, for its good answer."""
