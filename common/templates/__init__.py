"""Pipeline templates: their model, the catalog of them, and resolving one for a tenant."""
