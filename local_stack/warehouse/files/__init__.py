"""Reading CSV, NDJSON and Parquet files into the types of columns, as BigQuery's load jobs do."""
