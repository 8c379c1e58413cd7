"""What a step does, one file per type of step. Steps know the warehouse and the records, not the engine."""
