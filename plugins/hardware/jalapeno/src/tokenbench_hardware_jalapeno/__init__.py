"""OpenAI's Jalapeño as tokenbench hardware."""
