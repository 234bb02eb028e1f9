"""A parameter in the broker's address that the client cannot use is refused with the name of the setting."""

import pytest

from runtime.settings import SettingsRefused, read_settings
from workers.broker import redis_broker


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache/0?socket_timeout=soon",
        "redis://cache/0?nosuch=1",
        "redis://cache/0?db=one",
        "rediss://cache/0?ssl_cert_reqs=maybe",
        "unix:///run/valkey.sock?db=one",
    ],
)
def test_an_unusable_parameter_of_the_brokers_address_names_the_setting(url: str) -> None:
    settings = read_settings(
        {
            "redis_url": url,
            "database_url": "postgresql://app@db/tenantry",
            "secret_key": "k3#Qz9!vR7@pL2$wX5^mT8&nB4*cJ6-yD1+hF0",
        }
    )

    with pytest.raises(SettingsRefused, match=r"^Invalid value for TENANTRY_REDIS_URL: "):
        redis_broker(settings)
