"""What can be typed after ``deepsign``: each command beside its arguments, in groups."""
