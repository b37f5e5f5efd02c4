"""torch._dynamo.config: whatever is set here is held, and read by nobody."""

suppress_errors = False
cache_size_limit = 8
