"""What runs in the child: the protocol, the loader, and the adapters."""
