"""Models: packages, selection, the reader process, training and evaluation."""

import os

# ONNX Runtime keeps events of its use under HOME and sends them to its maker, unless this stands in
# the environment before it is loaded. Its own function to stop that comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
