"""What every family shares. Knows no family."""
