"""REST under `/api/v1/` of every worker: definitions, and what its partitions know of alerts.

`routes` is the table of all routes, and `openapi` the document made of it. Of a resource, the file
with its plural name answers questions, and its `_views` says what is shown of the worker's state:
pure, so that it needs no HTTP. Nothing here changes the state of a task; what users change, they
change through the topic of definitions.

May import every room; only `web` and `worker` import it.
"""
