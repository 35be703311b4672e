"""What we keep: the study index, sealed objects, results and their deliveries."""
