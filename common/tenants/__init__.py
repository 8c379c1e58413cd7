"""What both services know of tenants: their state, which the labels of their datasets hold, and their settings."""
