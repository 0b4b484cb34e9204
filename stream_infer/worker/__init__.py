"""fetch -> batch -> predict -> ledger -> one transaction. Read the modules in that order."""
