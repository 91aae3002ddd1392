"""A word server with prefill and decode pools, and its engine plugin."""
