"""Nearest neighbours inside one partition, by exact integer scores."""
