"""The REST API below /hub/api, one file a resource; names and models are JupyterHub's."""
