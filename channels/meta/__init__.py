"""What the three Meta products share: signature, envelope, the Graph API with its errors, the webhook provider."""
