"""The channels, one a file: what is asked of a receiver, and how it is asked.

`requests` is pure: a notification in, requests out. `http.py` and `smtp.py` do the I/O.
"""
