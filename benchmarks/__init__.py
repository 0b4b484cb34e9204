"""Measurements, side by side in one run: the machine's speed drifts, ratios hold."""
