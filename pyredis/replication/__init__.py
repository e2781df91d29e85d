"""Replication: one primary's data, kept the same on replicas."""
