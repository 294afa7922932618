"""Which tests are nearest to a module: those that are about it, the most likely to notice first.

A row holds for a module, or for all of a folder. A module has the tests of its own row, then those
of its folders' rows, from the inside out. Files that take long are named only where they are the
ones to notice.
"""

from __future__ import annotations

MEASURED = ("hw", "kernel", "labs/judge.py", "labs/evidence.py", "labs/grading.py")
"""What is measured when no path is named, without BY_ITSELF: the panel has its own measure."""

BY_ITSELF = "hw/panel/"

NOT_MEASURED = ("hw/setup.py", "hw/host.py", "hw/terminal.py")
"""They make environments and touch the host; what notices their mistakes is tests/test_door.py, and
it needs minutes."""

NEAREST = {
    "hw/": "kernel/test_defaults hw/test_cpu hw/test_tlb hw/test_paging hw/test_machine_counts"
    " kernel/test_two_mmus",
    "hw/accesses.py": "hw/test_corrections hw/test_ring3",
    "hw/calibration.py": "hw/test_cpu userland/test_prices",
    "hw/corrections.py": "hw/test_corrections host/test_cpu",
    "hw/costs.py": "userland/test_prices kernel/test_vas_costs kernel/test_shootdown",
    "hw/cpu.py": "hw/test_cpu hw/test_corrections hw/test_ring3 hw/test_limits hw/test_exact_tlb",
    "hw/decode.py": "hw/test_corrections hw/test_ring3",
    "hw/devices.py": "kernel/test_checkpoint kernel/test_terminal kernel/test_sched",
    "hw/disk.py": "kernel/test_replacement",
    "hw/engine.py": "hw/test_ring3 hw/test_limits hw/test_exact_tlb",
    "hw/files.py": "userland/test_writes",
    "hw/floating.py": "host/test_cpu hw/test_corrections hw/test_limits",
    "hw/fpu.py": "hw/test_cpu kernel/test_signals",
    "hw/jumps.py": "kernel/test_wild_jumps hw/test_ring3",
    "hw/machine.py": "hw/test_cpu kernel/test_shootdown",
    "hw/memory.py": "hw/test_cpu kernel/test_memory",
    "hw/mmu.py": "hw/test_exact_tlb hw/test_exact_switches kernel/test_vas_tlb",
    "hw/paging.py": "hw/test_paging kernel/test_memory",
    "hw/parts.py": "hw/test_parts",
    "hw/remedies.py": "hw/test_corrections hw/test_limits host/test_cpu",
    "hw/shadow.py": "hw/test_exact_switches hw/test_exact_tlb",
    "hw/softfloat.py": "host/test_cpu hw/test_corrections",
    "hw/stepping.py": "hw/test_cpu hw/test_exact_tlb",
    "hw/stops.py": "hw/test_cpu hw/test_exact_tlb",
    "hw/stretch.py": "hw/test_exact_tlb",
    "hw/tlb.py": "hw/test_tlb hw/test_exact_tlb kernel/test_vas_tlb",
    "hw/trace.py": "hw/test_sinks hw/test_trace hw/panel/test_history",
    "hw/x87.py": "hw/test_corrections host/test_cpu",
    "hw/panel/": "hw/panel/test_history hw/panel/test_panels hw/panel/test_session",
    "hw/panel/command.py": "hw/panel/test_command",
    "hw/panel/layout.py": "hw/panel/test_panels",
    "hw/panel/window.py": "hw/panel/test_window",
    "hw/panel/machine/": "hw/panel/test_questions hw/panel/test_memory userland/test_live",
    "hw/panel/model/": "hw/panel/test_fold",
    "hw/panel/model/walk.py": "hw/panel/test_walk",
    "hw/panel/model/tracks.py": "hw/panel/test_axis",
    "hw/panel/model/conditions.py": "hw/panel/test_sifting",
    "hw/panel/panels/": "hw/panel/test_sifting hw/panel/test_memory",
    "hw/panel/picture/": "hw/panel/test_axis hw/panel/test_theme hw/panel/test_window",
    "hw/panel/user/": "hw/panel/test_pointing hw/panel/test_sifting hw/panel/test_memory",
    "hw/panel/words/": "hw/panel/test_command",
    "kernel/": "kernel/test_defaults kernel/test_constants kernel/test_counts kernel/test_processes"
    " kernel/test_memory kernel/test_vas_rules",
    "kernel/boot.py": "userland/test_exec kernel/test_elf",
    "kernel/calls.py": "kernel/test_syscall_table kernel/test_signals",
    "kernel/checkpoint.py": "kernel/test_checkpoint",
    "kernel/choose.py": "kernel/test_choose kernel/test_sched",
    "kernel/deadlock.py": "kernel/test_vas_locks kernel/test_ipc",
    "kernel/invariants.py": "kernel/test_invariants",
    "kernel/kernel.py": "kernel/test_vas_life kernel/test_replacement",
    "kernel/port.py": "kernel/test_ipc kernel/test_servers kernel/test_terminal",
    "kernel/resume.py": "kernel/test_signals kernel/test_ipc kernel/test_stop",
    "kernel/strace.py": "kernel/test_syscall_table kernel/test_vas_holes",
    "kernel/trap.py": "kernel/test_signals kernel/test_wild_jumps kernel/test_sched",
    "kernel/turns.py": "kernel/test_sched kernel/test_sched_systems kernel/test_ipc",
    "kernel/vas_invariants.py": "kernel/test_invariants kernel/test_vas_model",
    "kernel/abi/": "kernel/test_ipc kernel/test_servers kernel/test_files_model",
    "kernel/abi/ioctls.py": "kernel/test_file_calls kernel/test_discipline kernel/test_terminal",
    "kernel/abi/names.py": "kernel/test_proc",
    "kernel/ipc/": "kernel/test_ipc kernel/test_servers",
    "kernel/ipc/parcels.py": "kernel/test_sockets",
    "kernel/life/": "kernel/test_records kernel/test_processes kernel/test_exec"
    " kernel/test_vas_life",
    "kernel/life/delivery.py": "kernel/test_signals kernel/test_stop kernel/test_shootdown",
    "kernel/life/elf.py": "kernel/test_elf kernel/test_auxiliary",
    "kernel/life/life.py": "kernel/test_stop kernel/test_processes",
    "kernel/life/oom.py": "kernel/test_out_of_memory",
    "kernel/life/sigframe.py": "kernel/test_signals",
    "kernel/mm/": "kernel/test_memory kernel/test_space_model kernel/test_vas_model",
    "kernel/mm/bounds.py": "kernel/test_memory kernel/test_vas_gate",
    "kernel/mm/eager.py": "kernel/test_eager",
    "kernel/mm/file_pages.py": "kernel/test_replacement kernel/test_native",
    "kernel/mm/frames.py": "kernel/test_memory kernel/test_shootdown",
    "kernel/mm/objects.py": "kernel/test_memory kernel/test_replacement",
    "kernel/mm/pagetable.py": "kernel/test_memory kernel/test_vas_view",
    "kernel/mm/remap.py": "kernel/test_memory kernel/test_native",
    "kernel/mm/replace.py": "kernel/test_replacement_policies kernel/test_replacement",
    "kernel/mm/residency.py": "kernel/test_replacement_policies kernel/test_vas_memory",
    "kernel/mm/rmap.py": "kernel/test_replacement",
    "kernel/mm/shootdown.py": "kernel/test_shootdown kernel/test_vas_tlb",
    "kernel/mm/shown.py": "kernel/test_vas_memory kernel/test_replacement",
    "kernel/mm/space.py": "kernel/test_vas_memory",
    "kernel/mm/truncate.py": "kernel/test_replacement kernel/test_native",
    "kernel/mm/usermem.py": "kernel/test_vas_gate kernel/test_native",
    "kernel/sched/": "kernel/test_sched kernel/test_sched_policies kernel/test_sched_systems",
    "kernel/sched/tasks.py": "kernel/test_records kernel/test_sched kernel/test_sched_calls"
    " kernel/test_futex",
    "kernel/sched/usage.py": "kernel/test_sched_systems kernel/test_native",
    "kernel/servers/": "kernel/test_file_calls kernel/test_files_model kernel/test_servers"
    " host/test_calls",
    "kernel/servers/console.py": "kernel/test_terminal",
    "kernel/servers/devices.py": "userland/test_inputs",
    "kernel/servers/discipline.py": "kernel/test_discipline",
    "kernel/servers/directories.py": "kernel/test_files_model",
    "kernel/servers/files.py": "kernel/test_files_model",
    "kernel/servers/generated.py": "kernel/test_proc kernel/test_vas_files",
    "kernel/servers/names.py": "kernel/test_ipc",
    "kernel/servers/proc.py": "kernel/test_proc userland/test_vas_tools",
    "kernel/servers/proc_process.py": "kernel/test_proc userland/test_vas_tools",
    "kernel/servers/proc_system.py": "kernel/test_proc",
    "kernel/servers/seals.py": "kernel/test_memfd kernel/test_native",
    "kernel/servers/shm.py": "kernel/test_shm kernel/test_native",
    "kernel/servers/slots.py": "kernel/test_native",
    "kernel/servers/socket_options.py": "kernel/test_native",
    "kernel/servers/sockets.py": "kernel/test_sockets kernel/test_native",
    "kernel/servers/sysfs.py": "kernel/test_vas_files kernel/test_proc",
    "kernel/servers/termios.py": "kernel/test_discipline kernel/test_terminal",
    "kernel/servers/unix_socket.py": "kernel/test_sockets kernel/test_native",
    "kernel/syscalls/": "kernel/test_syscall_table kernel/test_flags kernel/test_file_calls"
    " host/test_calls kernel/test_native",
    "kernel/syscalls/control.py": "kernel/test_sockets",
    "kernel/syscalls/futex.py": "kernel/test_futex",
    "kernel/syscalls/ipc.py": "kernel/test_ipc",
    "kernel/syscalls/jobs.py": "kernel/test_stop",
    "kernel/syscalls/memory.py": "kernel/test_memory kernel/test_vas_memory",
    "kernel/syscalls/messages.py": "kernel/test_sockets",
    "kernel/syscalls/pidfd.py": "kernel/test_pidfd",
    "kernel/syscalls/poll.py": "kernel/test_epoll",
    "kernel/syscalls/process.py": "kernel/test_processes kernel/test_exec",
    "kernel/syscalls/process_vm.py": "kernel/test_process_vm kernel/test_native",
    "kernel/syscalls/residency.py": "kernel/test_replacement_policies kernel/test_vas_memory",
    "kernel/syscalls/sched.py": "kernel/test_sched_calls",
    "kernel/syscalls/shm.py": "kernel/test_shm kernel/test_native",
    "kernel/syscalls/signal.py": "kernel/test_signals",
    "kernel/syscalls/sockets.py": "kernel/test_sockets",
    "kernel/syscalls/vas.py": "kernel/test_vas_calls kernel/test_vas_rules",
    "kernel/syscalls/vas_notes.py": "kernel/test_vas_calls",
    "kernel/task/": "kernel/test_processes kernel/test_hogs kernel/test_native",
    "kernel/vas/": "kernel/test_records kernel/test_vas_costs kernel/test_vas_calls"
    " kernel/test_vas_view kernel/test_vas_model",
    "kernel/vas/gate.py": "kernel/test_vas_gate",
    "kernel/vas/listing.py": "kernel/test_vas_files userland/test_vas_tools",
    "kernel/vas/rfc.py": "kernel/test_vas_holes",
    "kernel/vas/sharing.py": "kernel/test_vas_locks kernel/test_vas_rules",
    "kernel/vas/sync.py": "kernel/test_vas_locks",
    "kernel/vas/tables.py": "kernel/test_vas_view kernel/test_vas_tlb",
    "kernel/vas/vases.py": "kernel/test_vas_life kernel/test_vas_memory",
    "kernel/vas/view.py": "kernel/test_vas_view kernel/test_vas_memory",
    "kernel/wait/": "kernel/test_signals kernel/test_native host/test_calls",
    "kernel/wait/futex.py": "kernel/test_futex",
    "kernel/wait/jobs.py": "kernel/test_stop kernel/test_terminal",
    "kernel/wait/ready.py": "kernel/test_epoll",
    "labs/": "labs/test_judge labs/test_lab_accidents",
    "labs/evidence.py": "labs/test_evidence",
    "labs/grading.py": "labs/test_classroom labs/test_lab_tour",
}


def nearest_tests(module: str) -> tuple[str, ...]:
    """Test files for a module, from the top of the tree; none if it has no row."""
    if module in NOT_MEASURED or module.endswith("__init__.py"):
        return ()
    rows = [
        row for row in NEAREST if module == row or (row.endswith("/") and module.startswith(row))
    ]
    names = [name for row in sorted(rows, key=len, reverse=True) for name in NEAREST[row].split()]
    return tuple(dict.fromkeys(f"tests/{name}.py" for name in names))
