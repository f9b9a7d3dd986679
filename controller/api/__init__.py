"""The kinds: pydantic models, conditions, validation and the CRDs made from them. Pure: no input or output."""
