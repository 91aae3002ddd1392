"""JSON, CSV and Parquet files for tokenbench."""
