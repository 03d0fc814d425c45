"""What a call counts for whose spans were sampled before they came."""

import pytest

from tests.agents.service_graph.graph_task import edges
from tests.agents.service_graph.traffic import CLIENT, DEFAULTS, IDS, MS, SERVER, Sent, Span


@pytest.mark.parametrize(
    ("client_state", "server_state", "calls"),
    [
        pytest.param("", "", 1, id="not sampled"),
        pytest.param("ot=th:8", "ot=th:8", 2, id="both one of two"),
        pytest.param("ot=th:8", "ot=th:fff", 4096, id="the server's is the rarer"),
        pytest.param("ot=th:fff", "", 4096, id="the client's is"),
    ],
)
def test_a_call_counts_for_as_many_as_the_rarer_of_its_sides(
    client_state: str, server_state: str, calls: int
) -> None:
    client = Span(CLIENT, "api", IDS[0], ns=3 * MS, state=client_state)
    server = Span(SERVER, "cart", IDS[1], IDS[0], ns=2 * MS, state=server_state)
    (edge,) = edges([Sent(0, (client, server))], DEFAULTS)
    assert edge[:2] == ("api", "cart")
    assert edge[4:] == (calls, 0, 3 * MS * calls, 2 * MS * calls)


def test_expired_and_database_calls_count_for_as_many_as_their_span() -> None:
    database = Span(CLIENT, span_id=IDS[0], attributes={"db.name": "orders"}, state="ot=th:8")
    alone = Span(CLIENT, span_id=IDS[1], state="ot=th:fff")
    found = {edge.server: edge.calls for edge in edges([Sent(0, (database, alone))], DEFAULTS)}
    assert found == {"orders": 2, "unknown": 4096}
