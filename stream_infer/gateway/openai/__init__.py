"""What OpenAI's clients ask of the gateway: files, and batches that are jobs."""
