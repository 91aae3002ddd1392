"""Sample data that the checks pass to plugins: requests, views, events, prompts."""
