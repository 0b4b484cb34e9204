"""Whom the end of a job is told, what is said, and how it gets there."""
