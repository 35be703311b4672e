"""Delete what may no longer be kept."""
