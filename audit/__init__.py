"""What we can prove: sealed events in a Merkle log with signed checkpoints."""
