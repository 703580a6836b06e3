"""The encoder as it is deployed: how it is made of a trained one, kept, and run."""
