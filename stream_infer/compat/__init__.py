"""Other systems' Python clients, so that programs that use them change one line: their import."""
