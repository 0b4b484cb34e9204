"""The realtime role: HTTP requests through the same batcher and predictor host as a worker's items, without Kafka."""
