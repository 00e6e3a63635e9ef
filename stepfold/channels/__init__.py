"""Where contacts write and read. Each channel is a pure parse of what comes in, a pure rendering of
what goes out, and a thin deliverer.
"""
