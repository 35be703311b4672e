"""Is every part alive."""
