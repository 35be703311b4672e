"""A search as text, for its audit record."""

from urllib.parse import urlencode

from pydantic import BaseModel


def canonical(asked: BaseModel) -> str:
    """Return the parameters in their order, defaults included, as a query string."""
    fields = asked.model_dump(mode="json", by_alias=True, exclude_none=True)
    return urlencode(fields, doseq=True)


def lookup(study_instance_uid: str) -> str:
    """Return the look-up of one study in the same form."""
    return urlencode({"study_instance_uid": study_instance_uid})
