"""The load generator: sessions in, timestamped records out. It imports no plugin, no pyarrow."""
