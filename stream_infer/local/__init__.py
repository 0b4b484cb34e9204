"""Everything on this machine."""
