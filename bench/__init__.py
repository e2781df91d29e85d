"""Measurements of pyredis beside redis-server, on one machine, in one run."""
