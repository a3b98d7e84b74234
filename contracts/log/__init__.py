"""The format of the log: tree, tiles, checkpoints, quorum, pins and receipts."""
