"""Cloud credentials of tenants: their kinds, their rows, and who may use them."""
