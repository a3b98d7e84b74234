"""The member's word: joining, consents, keys, receipts, refusals."""
