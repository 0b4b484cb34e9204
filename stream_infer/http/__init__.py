"""What the roles that answer HTTP share: problem documents, JSON text, reading requests, where to listen."""
