"""What both services share. Knows neither of them."""
