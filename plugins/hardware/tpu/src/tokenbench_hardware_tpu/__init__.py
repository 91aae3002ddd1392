"""Google TPUs as tokenbench hardware."""
