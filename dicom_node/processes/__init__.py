"""Several processes that receive behind one door: how they are started, asked and counted."""
