"""A folder through a predictor, in one process and its child: the same engine, and no Kafka."""
