"""DICOM over TLS: settings to contexts, the handshake, the socket. Source: PS3.15 B.12."""
