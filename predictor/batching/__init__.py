"""Texts of many requests become batches, within bounds and deadlines, and answers again."""
