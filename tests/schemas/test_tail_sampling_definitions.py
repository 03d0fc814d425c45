"""Sampling policies as a definition, and as the file that is one."""

from __future__ import annotations

from tailrace.schemas.definitions.tail_sampling import of_file, warnings

FILE = """
policies:
  - name: health
    type: string_attribute
    string_attribute: {key: url.path, values: [%s]}
"""


def test_a_variable_in_a_file_stands_for_itself_and_is_warned_of() -> None:
    where = "p.yaml: policies[0].string_attribute.values[1]"
    for variable in "${ROUTE}", "${env:ROUTE:-/x}":
        found = of_file(FILE % f"'$$', 'a{variable}'", "p.yaml")
        assert found.spec.policies[0].model_dump()["string_attribute"]["values"][0] == "$$"
        assert list(map(str, warnings(found, "p.yaml"))) == [
            f"{where} has {variable}, which stands for itself: only in a config it is filled in"
        ]
    plain = of_file(FILE % "'${jndi:ldap', '$x', 'a{2}'", "p.yaml")
    assert not list(warnings(plain, "p.yaml"))
