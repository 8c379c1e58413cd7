"""Performance ratios that the project is held to."""
