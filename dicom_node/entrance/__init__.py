"""Who may come in, and how he is let in: one thread that waits for nobody."""
