"""Who we are, as pynetdicom wants to know it."""

from pynetdicom.ae import ApplicationEntity

from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.wire import quiet  # noqa: F401 - silences the library before it says anything


def local_entity(ae_title: str) -> ApplicationEntity:
    """Return an AE of ours; it only carries names, `gate` counts associations."""
    entity = ApplicationEntity(ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_associations = 1_000_000
    return entity
