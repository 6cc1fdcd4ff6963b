"""Small real data with licences."""
