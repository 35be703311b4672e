"""What can go wrong between us and a peer."""

from core.errors import InputError, UnavailableError


class InterruptedObjectError(UnavailableError):
    """The association ended in the middle of an object."""


class NodeFaultError(UnavailableError):
    """Our own code failed on an object; the log has the traceback."""


class ListenError(UnavailableError):
    """The port cannot be listened on."""


class PeerError(UnavailableError):
    """A peer could not be reached, broke off, stayed silent, or is short of resources."""


class AssociationRejectedError(PeerError):
    """The peer does not want an association with us (A-ASSOCIATE-RJ)."""


class NothingAcceptedError(PeerError):
    """The peer accepts the association, but nothing of what we offer in it."""


class ObjectRefusedError(InputError):
    """The peer will not take this object, now or later."""
