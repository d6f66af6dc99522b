"""What servers may use: limits that are set on pages, the longest life, and what ran out."""
