"""The gateway before both services: an Envoy that speaks REST and gRPC to callers. Here are its configuration and the checker of requests,
in Lua, that runs in it; no service of ours is in between."""
