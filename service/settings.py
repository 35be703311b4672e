"""The whole of config.yaml, typed and frozen."""
