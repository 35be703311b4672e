"""Start, watch and restart the roles."""
