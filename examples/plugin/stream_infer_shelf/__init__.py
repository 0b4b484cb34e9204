"""What stream-infer finds through the entry points of this package."""
