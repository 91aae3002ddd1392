"""Sample data that the checks feed to plugins: requests, views, events, prompts."""
