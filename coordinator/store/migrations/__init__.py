"""Database migrations, run by `coordinator init` and `serve`."""
