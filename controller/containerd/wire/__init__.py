"""What protoc makes of the `.proto` files here: messages only, never imported above `controller.containerd`."""
