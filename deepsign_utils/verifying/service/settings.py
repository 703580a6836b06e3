"""Settings of the service, from the environment: `DEEPSIGN_PORT=9000` sets `port`."""

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deepsign_utils.preprocessing import MAX_PIXELS
from deepsign_utils.study.folders import KEPT, PRETRAINED, ROOT
from deepsign_utils.verifying.service.origins import origin_of


class Settings(BaseSettings):
    """Each field's environment variable is its name in capitals after `DEEPSIGN_`."""

    model_config = SettingsConfigDict(env_prefix="DEEPSIGN_", extra="forbid")

    host: str = Field(
        "127.0.0.1",
        min_length=1,  # an empty one would be all of the machine's addresses
        description="address to listen on; by default this machine only",
    )
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    model: Path = Field(PRETRAINED, description="model folder; by default the shipped one")
    store: Path = Field(
        KEPT / "service" / "enrolments.sqlite",
        description="SQLite file of the enrolments",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="keys, divided by commas, or a JSON list; unset, everybody may ask",
    )
    public_url: str = Field(
        "", description="address in the browser, where a proxy stands before the service"
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="addresses or networks whose X-Forwarded headers are believed, by commas",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="of the log: text, or json, an object a line"
    )
    max_request_bytes: int = Field(100_000_000, gt=0, description="of a whole request")
    max_image_bytes: int = Field(30_000_000, gt=0, description="of one image file")
    max_pixels: int = Field(MAX_PIXELS, gt=0, le=MAX_PIXELS, description="of one image")
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
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                keys = json.loads(value)
            except ValueError:
                raise ValueError("it begins as a JSON list, and is none") from None
        else:
            keys = [key.strip() for key in value.split(",") if key.strip()]
        if not keys:
            raise ValueError("it is set and holds no key; unset it if everybody may ask")
        return keys

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in map(SecretStr.get_secret_value, keys):
            if not key or key != key.strip() or any(ord(letter) < 32 for letter in key):
                raise ValueError(
                    "a key is empty, begins or ends with a space, or holds a control character: "
                    "no request can send it"
                )
        return keys

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: str) -> str:
        for one in proxies.split(",") if proxies.strip() not in ("", "*") else ():
            try:
                ip_network(one.strip())  # as uvicorn reads it, which would keep silent
            except ValueError:
                raise ValueError(
                    f"{one.strip()!r} is no address, such as 10.0.0.7, nor a network, such as "
                    "10.0.0.0/24"
                ) from None
        return proxies

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        try:
            known = not url or origin_of(url).scheme in ("http", "https")
        except ValueError:
            known = False
        if not known:
            raise ValueError("it must be an address such as https://signatures.example.org")
        return url


def table() -> str:
    """The settings as rows of a Markdown table: variable, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = default.relative_to(ROOT).as_posix()
        shown = f"{default:,}" if isinstance(default, int) and name != "port" else default or ""
        rows.append(f"| `DEEPSIGN_{name.upper()}` | {shown} | {field.description} |\n")
    return "".join(rows)
