"""What every gRPC server of ours has in common."""
