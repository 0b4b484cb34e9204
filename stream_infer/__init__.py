"""Distributed inference over Kafka: every item ends exactly once."""
