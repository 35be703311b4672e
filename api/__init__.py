"""REST: what the record system asks, and who may ask it."""
