"""What happens to a study, on one screen."""
