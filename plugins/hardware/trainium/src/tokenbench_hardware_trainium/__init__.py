"""AWS Trainium as tokenbench hardware."""
