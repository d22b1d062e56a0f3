"""Connected provider apps (webhook endpoints) and channels (numbers, Pages, accounts, bots)."""
