"""The verification service: HTTP interface, enrolments on disk, and a page for people."""

from deepsign_utils.verifying.service.app import create_app
from deepsign_utils.verifying.service.server import run
from deepsign_utils.verifying.service.settings import Settings

__all__ = ["Settings", "create_app", "run"]
