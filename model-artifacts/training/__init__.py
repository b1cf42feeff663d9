"""Trains distilbert-tiny-sst2 from scratch: data, vocabulary, teachers, student, model card."""
