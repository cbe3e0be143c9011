"""What the program is about, in modules of its own: they reach the container in the bundle."""
