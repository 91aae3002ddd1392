"""From a suite to what will run: canonical plans, point identity, layers of settings."""
