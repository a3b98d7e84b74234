"""What the commands of all parties share and a kernel must not touch: terminal and files."""
