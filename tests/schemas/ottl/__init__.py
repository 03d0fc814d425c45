"""OTTL is held to what the collector's own library, version 0.155, said of the same spans."""
