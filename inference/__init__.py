"""Models: packages, selection, the reader process, training and evaluation."""
