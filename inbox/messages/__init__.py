"""Messages with their parts, versions and reactions; the deliveries that carry them out; receipts that came early."""
