"""Settings of the service, from the environment: `DEEPSIGN_PORT=9000` sets `port`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deepsign_utils.study.folders import PRETRAINED, ROOT


class Settings(BaseSettings):
    """Each field's environment variable is its name in capitals after `DEEPSIGN_`."""

    model_config = SettingsConfigDict(env_prefix="DEEPSIGN_", extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on; by default this machine only")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    model: Path = Field(PRETRAINED, description="model folder; by default the shipped one")
    store: Path = Field(
        ROOT / "data" / "service" / "enrolments.sqlite",
        description="SQLite file of the enrolments",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys, divided by commas; where there are none, everybody may ask"
    )
    max_request_bytes: int = Field(32_000_000, gt=0, description="of a whole request")
    max_image_bytes: int = Field(10_000_000, gt=0, description="of one image file")
    max_pixels: int = Field(20_000_000, gt=0, description="of one image")
    max_images: int = Field(20, gt=0, description="references in one request")
    max_references: int = Field(50, gt=0, description="references of one writer")
    max_requests: int = Field(
        128, gt=0, description="requests in work at a time; more are answered 503"
    )
    request_seconds: float = Field(30, gt=0, description="after which a request is given up")
    batch_images: int = Field(32, gt=0, description="most images in one pass of the network")
    batch_milliseconds: float = Field(3, ge=0, description="that a pass waits for more images")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _divide(cls, value: object) -> object:
        if isinstance(value, str):
            return [key.strip() for key in value.split(",") if key.strip()]
        return value
