"""Classes: who is in them and teaches them, how people join, what is said, handed out and kept."""
