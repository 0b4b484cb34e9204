"""Everything outside Kafka: sources, stores, formats, fetchers. Knows records, errors and ports only."""
