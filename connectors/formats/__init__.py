"""Formats: how results and dead letters are written into objects."""
