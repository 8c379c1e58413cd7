"""API keys: their shape, their records, and who holds one."""
