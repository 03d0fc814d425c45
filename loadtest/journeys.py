"""What the users and the jobs of the fleet set off, and how often."""

from tailrace_loadtest.fleet import (
    Step,
    call,
    consume,
    database,
    external,
    internal,
    maybe,
    publish,
    server,
)

_product = maybe(
    0.6, database("catalog", "postgresql", "products", "SELECT products WHERE id = ?", 6)
)
_cached = database("catalog", "redis", "catalog-cache", "GET product:{d8}", 1)
_catalog = server("catalog", "GET", "/products/{id}", 8, _cached, _product)
_similar = server(
    "recommendations",
    "GET",
    "/similar/{id}",
    15,
    database("recommendations", "redis", "features", "MGET vectors:{d8}", 2),
)
_basket = server(
    "cart", "GET", "/carts/{id}", 5, database("cart", "redis", "carts", "HGETALL cart:{d8}", 1)
)
_session = maybe(
    0.5,
    server(
        "accounts",
        "GET",
        "/sessions/{id}",
        3,
        database("accounts", "redis", "sessions", "GET session:{x16}", 1),
    ),
)
_charge = server(
    "payment",
    "POST",
    "/charges",
    12,
    internal(
        "payment",
        "charge card",
        10,
        external("payment", "POST", "https://api.cards.example/charges", 50, "card-network"),
    ),
    database("payment", "postgresql", "ledger", "INSERT charges VALUES (?, ?, ?)", 8),
)
_reserve = server(
    "inventory",
    "POST",
    "/reservations",
    6,
    database(
        "inventory", "postgresql", "stock", "UPDATE stock SET held = held + ? WHERE sku = ?", 9
    ),
)
_order_placed = publish(
    "checkout",
    "orders",
    consume(
        "shipping",
        "orders",
        20,
        database("shipping", "postgresql", "parcels", "INSERT parcels VALUES (?, ?)", 7),
    ),
    maybe(
        0.8,
        consume(
            "notifications",
            "orders",
            5,
            external("notifications", "POST", "https://mail.example/messages", 30),
        ),
    ),
)

JOURNEYS: tuple[tuple[float, Step], ...] = (
    (20, server("gateway", "GET", "/products/{id}", 4, call("gateway", _catalog))),
    (
        16,
        server(
            "gateway",
            "GET",
            "/search",
            5,
            call(
                "gateway",
                server(
                    "search",
                    "GET",
                    "/query",
                    12,
                    database("search", "elasticsearch", "product-index", "SEARCH products q=?", 25),
                    maybe(0.8, call("search", _similar)),
                ),
            ),
        ),
    ),
    (
        15,
        server(
            "gateway",
            "PUT",
            "/carts/{id}/items",
            4,
            call("gateway", _session),
            call(
                "gateway",
                server(
                    "cart",
                    "PUT",
                    "/carts/{id}/items",
                    7,
                    call("cart", _catalog),
                    database("cart", "redis", "carts", "HSET cart:{d8}", 1),
                ),
            ),
        ),
    ),
    (
        12,
        server(
            "gateway",
            "POST",
            "/orders",
            5,
            call("gateway", _session),
            call(
                "gateway",
                server(
                    "checkout",
                    "POST",
                    "/orders",
                    10,
                    internal("checkout", "price order", 6),
                    call("checkout", _basket),
                    call("checkout", _charge),
                    call("checkout", _reserve),
                    _order_placed,
                ),
            ),
        ),
    ),
    (
        10,
        server(
            "gateway",
            "POST",
            "/login",
            4,
            call(
                "gateway",
                server(
                    "accounts",
                    "POST",
                    "/sessions",
                    5,
                    database("accounts", "postgresql", "users", "SELECT users WHERE email = ?", 5),
                    internal("accounts", "verify password", 70),
                ),
            ),
        ),
    ),
    (
        13,
        server(
            "storefront",
            "GET",
            "/",
            15,
            call(
                "storefront",
                server(
                    "gateway",
                    "GET",
                    "/home",
                    5,
                    call("gateway", _catalog),
                    maybe(0.7, call("gateway", _similar)),
                ),
            ),
        ),
    ),
    (
        4,
        internal(
            "inventory",
            "sync stock",
            40,
            database("inventory", "postgresql", "stock", "SELECT stock WHERE changed > ?", 30),
            publish(
                "inventory",
                "stock-changes",
                consume(
                    "search",
                    "stock-changes",
                    15,
                    database("search", "elasticsearch", "product-index", "BULK products", 40),
                ),
            ),
        ),
    ),
    (
        8,
        server(
            "gateway",
            "GET",
            "/orders/{id}",
            4,
            call("gateway", _session),
            call(
                "gateway",
                server(
                    "checkout",
                    "GET",
                    "/orders/{id}",
                    6,
                    database("checkout", "postgresql", "orders", "SELECT orders WHERE id = ?", 6),
                    call(
                        "checkout",
                        server(
                            "shipping",
                            "GET",
                            "/parcels/{id}",
                            6,
                            database(
                                "shipping",
                                "postgresql",
                                "parcels",
                                "SELECT parcels WHERE order_id = ?",
                                6,
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    (
        1,
        internal(
            "cart",
            "evict carts",
            20,
            database("cart", "redis", "carts", "SCAN cart:* COUNT 1000", 15),
        ),
    ),
)
