"""Handlers of the virtual objects: what workflows call one at a time per key."""

from pkg.restate import Handler
from sealift.workflow.v1.workflow_pb2 import (
    AssignReply,
    AssignRequest,
    ClearReply,
    ClearRequest,
    Empty,
    RetireReply,
    RetireRequest,
    SettleRequest,
    SlotReply,
    SlotRequest,
    UndoReply,
    UndoRequest,
)

# `Routing`, keyed by environment id: moves the routes of an environment.
ROUTING_ASSIGN = Handler("Routing", "assign", AssignRequest, AssignReply)
ROUTING_UNDO = Handler("Routing", "undo", UndoRequest, UndoReply)
ROUTING_RETIRE = Handler("Routing", "retire", RetireRequest, RetireReply)
ROUTING_CLEAR = Handler("Routing", "clear", ClearRequest, ClearReply)
# Restate holds delayed calls by this name, so it stays.
ROUTING_CONFIRM_STOPPED = Handler("Routing", "settle", SettleRequest, Empty)

# `BuildSlot`, keyed by workspace id: bounds the builds that run at once.
SLOT_ACQUIRE = Handler("BuildSlot", "acquire", SlotRequest, SlotReply)
SLOT_RELEASE = Handler("BuildSlot", "release", SlotRequest, Empty)
