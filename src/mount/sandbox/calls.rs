//! The system calls that can be made, by a seccomp filter.
//!
//! What is not in the list gives EPERM. The list is what the daemon does: read stores, write the index, talk to the kernel and
//! to systemd, start threads; and what the name service's modules do: talk to a server over a socket. Not in it: running
//! programs, new processes and namespaces, mounting, tracing, other processes' memory, file handles, device nodes, links,
//! changes of owner but of the index's own files, keys, modules, BPF, io_uring.
//!
//! Nothing is emptied by opening it: who may read a file may do that, unless he is refused `O_TRUNC`. Landlock could, too, and
//! would look for that right with every opening, up to the root of the file system.

use super::super::failed;
use crate::error::Result;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::path::Path;

/// On every architecture.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    // Files and directories.
    libc::SYS_close, libc::SYS_close_range, libc::SYS_copy_file_range, libc::SYS_dup, libc::SYS_dup3,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fadvise64, libc::SYS_fallocate, libc::SYS_fchdir,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_fcntl, libc::SYS_fdatasync, libc::SYS_fgetxattr,
    libc::SYS_flistxattr, libc::SYS_flock, libc::SYS_fstat, libc::SYS_fstatfs, libc::SYS_fsync, libc::SYS_ftruncate,
    libc::SYS_getcwd, libc::SYS_getdents64, libc::SYS_getxattr, libc::SYS_ioctl, libc::SYS_lgetxattr,
    libc::SYS_listxattr, libc::SYS_llistxattr, libc::SYS_lseek, libc::SYS_mkdirat, libc::SYS_newfstatat,
    libc::SYS_pread64, libc::SYS_preadv, libc::SYS_preadv2, libc::SYS_pwrite64,
    libc::SYS_pwritev, libc::SYS_pwritev2, libc::SYS_read, libc::SYS_readahead, libc::SYS_readlinkat, libc::SYS_readv,
    libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_statfs, libc::SYS_statx,
    libc::SYS_sync_file_range, libc::SYS_umask, libc::SYS_unlinkat, libc::SYS_utimensat, libc::SYS_vmsplice,
    libc::SYS_write, libc::SYS_writev,
    // Memory.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_membarrier, libc::SYS_memfd_create, libc::SYS_mincore, libc::SYS_mlock,
    libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_msync, libc::SYS_munlock, libc::SYS_munmap,
    // Threads, of which those that may be started are seen to below, and their signals.
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_futex, libc::SYS_get_robust_list, libc::SYS_getcpu,
    libc::SYS_gettid, libc::SYS_restart_syscall, libc::SYS_rseq, libc::SYS_rt_sigaction, libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield, libc::SYS_set_robust_list, libc::SYS_set_tid_address, libc::SYS_sigaltstack,
    libc::SYS_tgkill, libc::SYS_wait4, libc::SYS_waitid,
    // What this process is, and how much it may have.
    libc::SYS_capget, libc::SYS_getegid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getgroups, libc::SYS_getpgid,
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_getpriority, libc::SYS_getresgid, libc::SYS_getresuid,
    libc::SYS_getrlimit, libc::SYS_getrusage, libc::SYS_getsid, libc::SYS_getuid, libc::SYS_prctl, libc::SYS_prlimit64,
    libc::SYS_setpriority, libc::SYS_ioprio_get, libc::SYS_ioprio_set, libc::SYS_sysinfo, libc::SYS_times,
    libc::SYS_uname,
    // Further fences.
    libc::SYS_landlock_add_rule, libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
    // Time and chance.
    libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_getitimer,
    libc::SYS_getrandom, libc::SYS_gettimeofday, libc::SYS_nanosleep, libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime, libc::SYS_timerfd_settime,
    // Waiting, and talking to others.
    libc::SYS_accept4, libc::SYS_bind, libc::SYS_connect, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_getpeername, libc::SYS_getsockname,
    libc::SYS_getsockopt, libc::SYS_inotify_add_watch, libc::SYS_inotify_init1, libc::SYS_inotify_rm_watch,
    libc::SYS_pipe2, libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_recvfrom, libc::SYS_recvmmsg, libc::SYS_recvmsg,
    libc::SYS_sendmmsg, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_setsockopt, libc::SYS_shutdown,
    libc::SYS_signalfd4, libc::SYS_socket, libc::SYS_socketpair,
];

/// Calls that open a file, and which of their arguments are the flags.
#[cfg(target_arch = "x86_64")]
const OPENING: &[(libc::c_long, u8)] = &[(libc::SYS_open, 1), (libc::SYS_openat, 2)];
#[cfg(not(target_arch = "x86_64"))]
const OPENING: &[(libc::c_long, u8)] = &[(libc::SYS_openat, 2)];

/// A new message gets its name by a link where a file system cannot rename without overwriting.
const RESTORING: &[libc::c_long] = &[libc::SYS_linkat];

/// The older spellings that x86-64 still has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[libc::c_long] = &[
    libc::SYS_access, libc::SYS_alarm, libc::SYS_arch_prctl, libc::SYS_chmod, libc::SYS_chown, libc::SYS_dup2, libc::SYS_epoll_create,
    libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_getdents, libc::SYS_getpgrp, libc::SYS_lstat, libc::SYS_mkdir,
    libc::SYS_pause, libc::SYS_pipe, libc::SYS_poll, libc::SYS_readlink, libc::SYS_rename,
    libc::SYS_rmdir, libc::SYS_select, libc::SYS_stat, libc::SYS_time, libc::SYS_unlink, libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Restricts this thread; `false` if this kernel, or this architecture, can't.
/// `restores`: mail is put back as files.
pub(super) fn restrict(restores: bool) -> Result<bool> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(false);
    };
    if !available() {
        return Ok(false);
    }
    let programs = [nothing_unseen(arch), only_what_is_needed(arch, restores)];
    for program in programs {
        program
            .and_then(|program| apply_filter(&program))
            .map_err(|e| failed("restricting system calls", &std::io::Error::other(e)))?;
    }
    Ok(true)
}

/// Whether this kernel has filters.
pub(super) fn available() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
        && TargetArch::try_from(std::env::consts::ARCH).is_ok()
}

type Built = std::result::Result<BpfProgram, seccompiler::Error>;

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    listed: SeccompAction,
    arch: TargetArch,
) -> Built {
    let filter = SeccompFilter::new(rules, others, listed, arch)?;
    Ok(filter.try_into()?)
}

/// What these are to do stands in memory, where no filter sees it. The C library falls back to clone and openat.
const UNSEEN: [libc::c_long; 2] = [libc::SYS_clone3, libc::SYS_openat2];

fn nothing_unseen(arch: TargetArch) -> Built {
    let rules = UNSEEN.map(|call| (call, Vec::new())).into();
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    filter(rules, SeccompAction::Allow, unknown, arch)
}

fn only_what_is_needed(arch: TargetArch, restores: bool) -> Built {
    let thread = libc::CLONE_THREAD as u64;
    let starts_a_thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        thread,
    )?;
    let restoring = RESTORING.iter().filter(|_| restores);
    let listed = CALLS.iter().chain(OLDER).chain(restoring);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        listed.map(|&call| (call, Vec::new())).collect();
    rules.insert(
        libc::SYS_clone,
        vec![SeccompRule::new(vec![starts_a_thread])?],
    );
    for &(call, flags) in OPENING {
        rules.insert(call, vec![SeccompRule::new(vec![empties_nothing(flags)?])?]);
    }
    // Refused by the other filter, with another error.
    rules.extend(UNSEEN.map(|call| (call, Vec::new())));
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    filter(rules, refuse, SeccompAction::Allow, arch)
}

/// Holds if an argument, the flags of an opening, has no `O_TRUNC`.
fn empties_nothing(argument: u8) -> std::result::Result<SeccompCondition, seccompiler::Error> {
    let truncate = SeccompCmpOp::MaskedEq(libc::O_TRUNC as u64);
    Ok(SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        truncate,
        0,
    )?)
}
