"""Node programs of the chips in `bad_plugins.hardware`."""
