"""What a decision costs by itself: the router's core in a loop, without gRPC, protobuf or HTTP."""
