"""Take custody of an instance; notice when a study is complete."""
