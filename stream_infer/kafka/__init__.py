"""The only place that knows confluent_kafka: what the rest of the code sees are our records and our errors."""
