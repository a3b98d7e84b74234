"""What a node's ledger holds of one account: the node itself only ever asks whether there is room."""


def spent(budget, dataset, unit, partition, year):
    """Nano-rho of an account in a calendar year."""
    with budget._write() as connection:
        return budget._read(connection).accounts.get((dataset, unit, partition, year), 0)
