"""What Cortex's clients ask of the gateway, by their own words and paths."""
