"""Train, export and evaluate detectors. Only `trainer` and `export` need the extra `torch`."""
