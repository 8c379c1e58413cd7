"""Encryption of secrets with Cloud KMS."""
