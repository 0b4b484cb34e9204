"""APIs that are deployed while the gateway runs."""
