"""A plugin of every kind that notes how core calls it, in whatever process that is."""
