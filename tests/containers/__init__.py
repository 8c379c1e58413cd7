"""Dockerfile and docker-compose.yml, held to what they promise without a container engine."""
