"""One new UID for each old one, the same wherever it is referred to. Source: PS3.15 E.3.9."""

from dataclasses import dataclass, field

from pydicom._uid_dict import UID_dictionary

from core.uids import keyed_uid


def is_standard(uid: str) -> bool:
    """Whether the standard itself gave out `uid`: a class, a syntax, a well-known instance.

    Being under the standard's root is not enough: some devices make instance UIDs there.
    Source: PS3.6 A.
    """
    return uid in UID_dictionary


@dataclass(frozen=True)
class UidMap:
    """Maps UIDs by HMAC, so that nothing need be remembered and nobody else can do it."""

    key: bytes = field(repr=False)

    def map(self, uid: str) -> str:
        """Return the replacement of `uid`; one that the standard gave out stays."""
        return uid if is_standard(uid) else keyed_uid(self.key, "uid", uid)

    def dummy(self, purpose: str) -> str:
        """Return a UID that stands for nothing."""
        return keyed_uid(self.key, "dummy", purpose)
