"""Request sources at run time: what comes from them is counted, and pauses take effect."""
