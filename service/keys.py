"""Load the keys of an installation, one for each purpose."""
