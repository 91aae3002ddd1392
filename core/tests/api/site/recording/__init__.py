"""A plugin of every kind that records how core calls it, in any process."""
