"""The webhook source: turns any body at ``POST /in/{name}`` into events."""
