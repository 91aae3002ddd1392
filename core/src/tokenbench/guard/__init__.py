"""The one way through which core calls plugins: time limits, exceptions, types of results."""
