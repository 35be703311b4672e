"""Findings in, standard result objects out; nothing is sent from here."""
