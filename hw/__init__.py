"""The machine: memory, paging, TLBs, cores, clock, devices, trace port.  Knows no kernel."""
