"""What a job is: its spec, its events, its states, its manifest. No I/O."""
