"""The load generator: sessions in, stamped records out. It imports no plugin, no pyarrow."""
