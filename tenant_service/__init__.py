"""TenantService: onboarding and administration of tenants."""
