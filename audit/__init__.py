"""What we can prove: sealed events in a Merkle log with signed checkpoints.

Read in this order: `events` and `triggers` (what is recorded, and when), `records` (how it is
sealed), `tree` and `checkpoint` (the proof), `segments` and `log` (the files), `keeper` (the one
writer), `verify` and `proof` (the auditor's side).
"""
