"""The course: the tour, the demos, and the labs with their hand-outs and their judge."""
