"""Notice when a study is complete."""
