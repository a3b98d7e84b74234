"""Pages and programs on the member's own machine."""
