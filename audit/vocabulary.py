"""The coded terms of audit messages. Source: PS3.16 CID 400 to 405; PS3.15 A.5.1."""

from enum import Enum, IntEnum, StrEnum
from typing import Self

from core.codes import Code


class Coded(Enum):
    """A closed list of coded terms; a member's value is its code value, which is what we store."""

    code: Code

    def __new__(cls, value: str, scheme: str = "", meaning: str = "") -> Self:
        """Make one term of the list; called with a code value alone, find it."""
        term = object.__new__(cls)
        term._value_ = value
        term.code = Code(value, scheme, meaning)
        return term


class EventKind(Coded):
    """The closed list of what we record. Source: PS3.15 A.5.3; the last three are our own."""

    APPLICATION_ACTIVITY = "110100", "DCM", "Application Activity"
    AUDIT_LOG_USED = "110101", "DCM", "Audit Log Used"
    BEGIN_TRANSFERRING = "110102", "DCM", "Begin Transferring DICOM Instances"
    INSTANCES_ACCESSED = "110103", "DCM", "DICOM Instances Accessed"
    INSTANCES_TRANSFERRED = "110104", "DCM", "DICOM Instances Transferred"
    STUDY_DELETED = "110105", "DCM", "DICOM Study Deleted"
    EXPORT = "110106", "DCM", "Export"
    IMPORT = "110107", "DCM", "Import"
    NETWORK_ENTRY = "110108", "DCM", "Network Entry"
    ORDER_RECORD = "110109", "DCM", "Order Record"
    PATIENT_RECORD = "110110", "DCM", "Patient Record"
    PROCEDURE_RECORD = "110111", "DCM", "Procedure Record"
    QUERY = "110112", "DCM", "Query"
    SECURITY_ALERT = "110113", "DCM", "Security Alert"
    USER_AUTHENTICATION = "110114", "DCM", "User Authentication"
    CUSTODY_TAKEN = "SR-101", "99SECONDREADER", "Custody of an instance taken"
    PIPELINE_DECISION = "SR-102", "99SECONDREADER", "Pipeline decision"
    VERIFICATION = "SR-103", "99SECONDREADER", "Verification of the connection (C-ECHO)"
    """No query (110112), for nothing is asked; PS3.15 A.5.3 has no event for it."""


class Activity(Coded):
    """What exactly happened: EventTypeCode. Source: PS3.16 CID 401."""

    APPLICATION_START = "110120", "DCM", "Application Start"
    APPLICATION_STOP = "110121", "DCM", "Application Stop"
    LOGIN = "110122", "DCM", "Login"
    LOGOUT = "110123", "DCM", "Logout"
    ATTACH = "110124", "DCM", "Attach"
    DETACH = "110125", "DCM", "Detach"


class Alert(Coded):
    """What a security alert warns of. Source: PS3.16 CID 403."""

    NODE_AUTHENTICATION = "110126", "DCM", "Node Authentication"
    EMERGENCY_OVERRIDE_STARTED = "110127", "DCM", "Emergency Override Started"
    NETWORK_CONFIGURATION = "110128", "DCM", "Network Configuration"
    SECURITY_CONFIGURATION = "110129", "DCM", "Security Configuration"
    HARDWARE_CONFIGURATION = "110130", "DCM", "Hardware Configuration"
    SOFTWARE_CONFIGURATION = "110131", "DCM", "Software Configuration"
    USE_OF_RESTRICTED_FUNCTION = "110132", "DCM", "Use of Restricted Function"
    AUDIT_RECORDING_STOPPED = "110133", "DCM", "Audit Recording Stopped"
    AUDIT_RECORDING_STARTED = "110134", "DCM", "Audit Recording Started"
    OBJECT_SECURITY_ATTRIBUTES_CHANGED = "110135", "DCM", "Object Security Attributes Changed"
    SECURITY_ROLES_CHANGED = "110136", "DCM", "Security Roles Changed"
    USER_SECURITY_ATTRIBUTES_CHANGED = "110137", "DCM", "User Security Attributes Changed"
    EMERGENCY_OVERRIDE_STOPPED = "110138", "DCM", "Emergency Override Stopped"


class Decision(Coded):
    """What the pipeline decided about a study, by rule or by person. Source: our own."""

    COMPLETENESS_CLOSED = "SR-110", "99SECONDREADER", "Revision closed as complete"
    HELD = "SR-111", "99SECONDREADER", "Study held"
    RELEASED = "SR-112", "99SECONDREADER", "Study released"
    CANCELED = "SR-113", "99SECONDREADER", "Processing canceled"
    RETRIED = "SR-114", "99SECONDREADER", "Processing scheduled again"
    PROCESSED = "SR-115", "99SECONDREADER", "Processing completed"
    FAILED = "SR-116", "99SECONDREADER", "Processing failed"
    WITHDRAWN = "SR-117", "99SECONDREADER", "Result object withdrawn"


class Role(Coded):
    """What a participant did: RoleIDCode. Source: PS3.16 CID 402."""

    APPLICATION = "110150", "DCM", "Application"
    APPLICATION_LAUNCHER = "110151", "DCM", "Application Launcher"
    DESTINATION = "110152", "DCM", "Destination Role ID"
    SOURCE = "110153", "DCM", "Source Role ID"
    DESTINATION_MEDIA = "110154", "DCM", "Destination Media"
    SOURCE_MEDIA = "110155", "DCM", "Source Media"


class Media(Coded):
    """What carried the data in or out. Source: PS3.16 CID 405."""

    FILM = "110010", "DCM", "Film"
    USB = "110030", "DCM", "USB Disk Emulation"
    EMAIL = "110031", "DCM", "Email"
    CD = "110032", "DCM", "CD"
    DVD = "110033", "DCM", "DVD"
    URI = "110037", "DCM", "URI"
    PAPER = "110038", "DCM", "Paper Document"


class IdType(Coded):
    """What kind of name an object goes by: ParticipantObjectIDTypeCode. Source: PS3.15 A.5.1."""

    PATIENT_NUMBER = "2", "RFC-3881", "Patient Number"
    URI = "12", "RFC-3881", "URI"
    STUDY_INSTANCE_UID = "110180", "DCM", "Study Instance UID"
    SOP_CLASS_UID = "110181", "DCM", "SOP Class UID"
    NODE_ID = "110182", "DCM", "Node ID"
    SEARCH = "10", "RFC-3881", "Search Criteria"
    RECORD = "SR-120", "99SECONDREADER", "Audit record"
    """Our own: only in exported messages, where it carries the event id and its details."""


class Action(StrEnum):
    """EventActionCode. Source: PS3.15 A.5.1."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """EventOutcomeIndicator. Source: PS3.15 A.5.1."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    """Refused, or done in part; nothing to mend here."""
    SERIOUS_FAILURE = 8
    """Something that should work did not."""
    MAJOR_FAILURE = 12
    """We are no longer available."""


class ObjectType(IntEnum):
    """ParticipantObjectTypeCode. Source: PS3.15 A.5.1."""

    PERSON = 1
    SYSTEM_OBJECT = 2


class ObjectRole(IntEnum):
    """ParticipantObjectTypeCodeRole. Source: PS3.15 A.5.1."""

    PATIENT = 1
    REPORT = 3
    MASTER_FILE = 5
    SECURITY_RESOURCE = 13
    QUERY = 24
