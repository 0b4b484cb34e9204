"""Publishes a job's source, resumable and fenced."""
