"""NVIDIA GPUs as tokenbench hardware."""
