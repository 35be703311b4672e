"""Where Alembic starts; `archive.schema` has opened the transaction it works in."""

from alembic import context

from archive.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
