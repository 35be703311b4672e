"""Wires all of it: settings, pipeline, engine, command line."""
