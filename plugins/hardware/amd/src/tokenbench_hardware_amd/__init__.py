"""AMD Instinct GPUs as tokenbench hardware."""
