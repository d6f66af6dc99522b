"""When servers are stopped for want of use, or by the clock; and what keeps them running."""
