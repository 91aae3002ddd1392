"""Aggregate JSON of InferenceX for tokenbench."""
