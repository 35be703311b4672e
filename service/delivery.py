"""Route result objects, retry, await the answer."""
