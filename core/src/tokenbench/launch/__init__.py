"""Processes: start, symbols, ports, logs, stop; nothing survives its command."""
