"""Build each role from the settings, one module a role: the only composition root."""

EXIT_CONFIGURATION = 78
"""Exit code of a role that cannot start before an operator acts. Source: sysexits(3)."""
