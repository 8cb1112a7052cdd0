"""The raw HTTP source: any body at ``POST /in/{name}`` becomes events."""
