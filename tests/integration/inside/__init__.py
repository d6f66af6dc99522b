"""Programs that tests run inside a machine, each with the standard library or Jupyter's alone."""
