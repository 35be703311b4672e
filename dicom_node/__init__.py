"""DICOM's upper layer: who may connect, C-ECHO, C-STORE, in both roles."""
