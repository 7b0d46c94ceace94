"""The one graph from pixels to probabilities, the folder it is kept in, and prediction with it."""
