"""The fast frozen forward, the cache of features, and the head fitted on them."""
