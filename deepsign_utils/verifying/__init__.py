"""A trained model on anyone's images: verdicts, scan faults, the service and its page."""
