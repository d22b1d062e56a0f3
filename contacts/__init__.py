"""People: profiles, identities at providers, and the addresses by which a provider knows them."""
