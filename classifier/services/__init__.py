"""What can be done. Services alone write to the database."""
