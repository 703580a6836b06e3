"""What runs whole studies, or measures a model as a whole, outside the chapters."""
