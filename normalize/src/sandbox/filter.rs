//! The system calls that a locked-in parser may make; every other one fails with EPERM.
//!
//! The list is what reading files of one folder needs, for us and for SQLite: files, memory, time, its own end. What Landlock
//! leaves open is closed here: sockets, processes and threads, tracing, signals to others, links and renames, modes, owners and times of
//! files (Landlock does not govern those), executable memory, io_uring, bpf, keys, mounts. Numbers come from libc for the
//! architecture that is built; the filter kills whoever calls with another architecture's convention.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// System calls that are allowed whatever their arguments.
const ALLOWED: &[libc::c_long] = &[
    // Files. Which ones is Landlock's concern.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_unlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_ppoll,
    // Memory (executable memory: see `conditional`).
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Its own life.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    // Time, where the kernel maps no page for it. `sysinfo` sizes the buffers of libc's sort.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_sysinfo,
];

/// The older forms that libc still uses where the architecture has them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// What `fcntl` may do: flags and locks. Not F_SETOWN, which sends signals to others.
const FCNTL: &[libc::c_int] = &[
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Builds the filter for the calling process (its own id is in it).
pub fn program() -> Result<BpfProgram, String> {
    let mut rules: Rules = ALLOWED.iter().chain(OLDER).map(|number| (*number, Vec::new())).collect();
    conditional(&mut rules).map_err(|error| error.to_string())?;
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, architecture).map_err(|error| error.to_string())?;
    filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())
}

/// Puts the filter in force, for good.
pub fn apply() -> Result<(), String> {
    seccompiler::apply_filter(&program()?).map_err(|error| error.to_string())
}

/// System calls that depend on an argument.
fn conditional(rules: &mut Rules) -> Result<(), seccompiler::BackendError> {
    let argument = |index: u8, operator, value: u64| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    // Memory that can be executed is how injected code would run.
    let executable = libc::PROT_EXEC.unsigned_abs().into();
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number, vec![argument(2, SeccompCmpOp::MaskedEq(executable), 0)?]);
    }
    // abort() signals the process itself; nobody else may be signalled.
    let own = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs().into();
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Eq, own)?]);
    let commands = FCNTL.iter().map(|command| argument(1, SeccompCmpOp::Eq, command.unsigned_abs().into()));
    rules.insert(libc::SYS_fcntl, commands.collect::<Result<_, _>>()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_builds_for_this_architecture() {
        let program = program().unwrap();
        // The kernel takes no more than 4096 instructions (BPF_MAXINSNS).
        assert!(program.len() > ALLOWED.len() && program.len() <= 4096, "{} instructions", program.len());
    }

    #[test]
    fn what_reaches_out_is_not_on_the_list() {
        let forbidden = [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_send_signal,
            libc::SYS_io_uring_setup,
            libc::SYS_memfd_create,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_prctl,
            libc::SYS_prlimit64,
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            libc::SYS_fchownat,
            libc::SYS_utimensat,
            libc::SYS_setxattr,
            libc::SYS_linkat,
            libc::SYS_symlinkat,
            libc::SYS_renameat2,
            libc::SYS_mknodat,
            libc::SYS_ioctl,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
        ];
        for number in forbidden {
            assert!(!ALLOWED.contains(&number) && !OLDER.contains(&number), "system call {number}");
        }
    }
}
