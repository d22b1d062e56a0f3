"""Templates approved by providers: synced definitions, previews, and what sends are checked against."""
