"""The memory floor: frames, memory objects, page tables, TLBs, regions and address spaces.

It may know `hw`, `kernel.abi`, `kernel.choose` and `kernel.log`, and no floor above: a space does
not know who runs in it.  What it asks of those above it declares as protocols: `objects.Pager`,
`pagetable.Watcher`, `shootdown.Tagged`, `space.Onlooker`.  Its face is `memory.Memory`, which makes
and retires every `space.AddressSpace`.  Within the floor, each file imports only lower ones:
layout, bounds, conflict, filler, frames, objects, pagetable, shootdown, file_pages, eager, regions,
rmap, truncate, usermem, shown, space, heap, residency, remap, replace, memory.
"""
