"""What is in non-volatile memory, and how it gets there: the medium of persistent objects.

A module holds *records*: one for each persistent segment, VAS, file and checkpoint.  A record says
what the object is (name, owner, rights, layout) and where its pages are.  The pages themselves are
frames of the module, which programs load from and store to.

    frame 0, 1      two root slots; the valid one with the higher number is the root
    root        ->  the catalogue: for each record its kind, id, place, length and checksum
    catalogue   ->  the records
    record      ->  runs of frames with the object's pages

A change is a *commit*.  New records and a new catalogue go to free frames, and are flushed and
fenced.  Then the older root slot gets the next number and leads to them: one line of 64 bytes,
which is written whole or not at all.  So after a power cut there is the old state or the new one,
of all objects of the commit together.  Frames that the old state led to are free for others only
after the next commit, when neither slot leads to them.  Free frames are not written down: they are
those that nothing leads to, so none can be lost.  This is the copy-on-write of Rodeh ("B-trees,
shadowing, and clones", 2008) with two roots in the place of a log.

`format` has the layout byte by byte, `medium` commits and mounts, `check` finds what is wrong with
a module and repairs it.  Every number is little-endian; checksums are CRC-32.  They cover the
metadata.  The contents of pages have none: they change at every store.
"""
