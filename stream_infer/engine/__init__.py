"""Batcher and predictor host. No Kafka in here, and no torch in the parent."""
