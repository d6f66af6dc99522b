"""A class at nine o'clock: many students sign in, start, open JupyterLab and run a cell."""
