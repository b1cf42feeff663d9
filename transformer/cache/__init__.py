"""Answers kept by text: in the process, and in Redis."""
