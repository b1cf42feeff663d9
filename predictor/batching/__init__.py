"""Turns the texts of many requests into batches, within bounds and deadlines, and back into answers."""
