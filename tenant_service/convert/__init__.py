"""Between the wire and the use cases, one file per resource: protobuf in, protobuf out, nothing else."""
