"""llama.cpp's server as a tokenbench engine."""
