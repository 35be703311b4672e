"""Build each role from the settings, one module a role: the only composition root."""
