"""The leaves of the error families that this package raises."""

from core.errors import InputError, UnavailableError, UnsupportedPixelsError


class NoPixelsError(InputError):
    """The object is not an image, or lost its pixels."""


class PixelBudgetError(UnsupportedPixelsError):
    """The pixels would take more memory than a decoder may have."""


class DecoderCrashError(UnsupportedPixelsError):
    """The decoder died over these pixels; nothing else did."""


class DecoderTimeoutError(UnsupportedPixelsError):
    """The decoder took longer over these pixels than it may."""


class MalformedPictureError(InputError):
    """The file is no JPEG or PNG picture, or a damaged one."""


class DecoderUnavailableError(UnavailableError):
    """No decoder process can be started."""
