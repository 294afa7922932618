"""The course: the tour, and later the labs with their hand-outs and graders."""
