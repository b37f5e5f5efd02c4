"""torch._inductor.config: whatever is set here is held, and read by nobody: kernels are tuned anyway."""
