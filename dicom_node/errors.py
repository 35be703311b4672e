"""What can go wrong between us and a peer."""

from core.errors import ConfigurationError, InputError, UnavailableError


class InterruptedObjectError(UnavailableError):
    """The association ended in the middle of an object."""


class NodeFaultError(UnavailableError):
    """Our own code failed on an object; the log has the traceback."""


class ListenError(ConfigurationError):
    """The port cannot be listened on: at the first start a matter of the operator."""


class DoorError(UnavailableError):
    """The process that decides about associations does not answer."""


class ReceiverError(UnavailableError):
    """No process that could receive objects can be started."""


class PeerError(UnavailableError):
    """A peer could not be reached, broke off, stayed silent, or is short of resources."""


class TlsError(PeerError):
    """No secure connection with a peer came about; nothing was sent to it."""


class AssociationRejectedError(PeerError):
    """The peer does not want an association with us (A-ASSOCIATE-RJ)."""


class NothingAcceptedError(PeerError):
    """The peer accepts the association, but nothing of what we offer in it."""


class ObjectRefusedError(InputError):
    """The peer will not take this object, now or later."""
