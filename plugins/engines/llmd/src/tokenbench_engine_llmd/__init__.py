"""The engine `llmd`."""
