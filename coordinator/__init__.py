"""The chamber's side: admits members, keeps the log, orders runs, combines contributions."""
