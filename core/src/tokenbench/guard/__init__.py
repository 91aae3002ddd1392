"""Calls to plugins: time limits, exceptions, types of results. Core calls plugins only this way."""
