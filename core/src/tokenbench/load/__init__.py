"""The load generator: sessions in, stamped records out. Nothing here imports a plugin or pyarrow."""
