"""The base of every model of the API: camelCase on the wire, snake_case in the code, unknown fields ignored, values frozen.

Pure: no input or output.
"""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def wire_name(name: str) -> str:
    """The field's name on the wire: camelCase, with the initialisms that Kubernetes writes in capitals."""
    camel = to_camel(name)
    for plain, proper in (("Id", "ID"), ("Ip", "IP")):
        if camel.endswith(plain):
            return camel[: -len(plain)] + proper
    return camel


class Model(BaseModel):
    """A frozen part of an object. Unknown fields are ignored, as the API server prunes them anyway."""

    model_config = ConfigDict(
        alias_generator=wire_name,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )
