"""PipelineService: runs shared templates for tenants."""
