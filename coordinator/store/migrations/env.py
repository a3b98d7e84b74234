"""Alembic's entry: runs the migrations on the database that `database.migrate` names."""

from alembic import context
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from coordinator.store import tables

assert tables.LogEntry.metadata is SQLModel.metadata
engine = create_engine(context.config.attributes["url"])
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        context.run_migrations()
